"""Cached logits on real tiny checkpoints: what is in the files, and that methods on them load no model."""

import json
import math
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support.real_study import RealStudy

from moco import paths
from moco.config.engine import EngineSettings
from moco.errors import FailedInput
from moco.jobs.logits_files import LOGITS_SCHEMAS, logits_by_item
from moco.methods.base import Choice
from moco.methods.state import read_state
from moco.records import ANSWERS, CALLS, GENERATIONS, JOB_PERF, PERF, read_frame, read_rows, write_json
from moco.tasks.prepare import read_questions, read_references

SKILLS = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 6, "test": 5}}


@pytest.fixture(scope="module")
def study(tiny_checkpoint, tmp_path_factory):
    """Two models, two kinds of tasks; plain responses and logits are made."""
    content = {
        "study": "s",
        "models": {
            name: {"kind": "local", "path": str(tiny_checkpoint("base", seed)), "family": "llama", "tokenizer": "zoo"}
            for name, seed in (("a", 0), ("b", 1))
        },
        "pools": {"p": ["a", "b"], "copies": ["a", "b", "a"]},
        "tasks": {
            "t": {"source": SKILLS},
            "u": {"source": {**SKILLS, "seed": 1}},
            "q": {"source": {**SKILLS, "form": "choice"}},
        },
        "decoding": {"default": {"max_new_tokens": 6, "temperature": 1.0, "top_p": 0.9}},
        "methods": {
            "api_cascade": {},
            "logit_logit_fusion": {},
            "options": {"method": "logit_logit_fusion", "mode": "options"},
            "api_prompt_routing": {},
            "text_majority_vote": {},
            "text_slm_mux": {"samples_per_model": 2},
        },
    }
    for name in content["models"]:
        content["models"][name]["description"] = f"is {name}"
    made = RealStudy(tmp_path_factory.mktemp("logits"), content)
    made.make(*made.planned("plain responses"))
    for path in made.planned("logits"):
        job = made.job(path)
        job.run()
        if job.kind == "response":
            assert job._inference.resident.loads == 0
    return made


def batch(study, task):
    return study.batch("p", "api_cascade", task)


def plain_rows(study, model, task, sample=0):
    path = paths.generation(model, batch(study, task), "test", 1, paths.block_of(sample))
    rows = read_rows(study.results / path, GENERATIONS)
    return [row for row in rows if (row["task"], row["sample"]) == (task, sample)]


def logits_of(path, kind, task, sample=0):
    rows = [row for row in read_rows(path, LOGITS_SCHEMAS[kind]) if row["task"] == task]
    return logits_by_item([row for row in rows if row.get("sample", sample) == sample], kind)


def response_logits(study, model, task, sample=0):
    path = paths.response_logits(model, batch(study, task), "test", 1, paths.block_of(sample))
    return logits_of(study.results / path, "response", task, sample)


def test_response_logits_are_what_was_generated(study):
    for sample in (0, 1):
        logits = response_logits(study, "a", "t", sample)
        plain = plain_rows(study, "a", "t", sample)
        assert len(plain) == len(logits) == 5
        for row in plain:
            found = logits[row["uid"]]
            assert len(found.tokens) == row["completion_tokens"] == len(found.top_ids) == len(found.tail)
            assert sum(found.logprobs) / len(found.logprobs) == pytest.approx(row["mean_logprob"], abs=1e-6)
            for ids, values, tail in zip(found.top_ids, found.top_logprobs, found.tail, strict=True):
                assert len(ids) == len(values) == found.top_k == 20
                assert list(values) == sorted(values, reverse=True)
                assert math.fsum(map(math.exp, values)) + tail == pytest.approx(1, abs=1e-4)


def test_option_logits_are_those_of_letters_and_texts_after_the_prompt(study):
    path = paths.logits("options", "a", batch(study, "q"), "test")
    job = study.job(path)
    logits = logits_of(study.results / path, "options", "q")
    questions = read_questions(study.results / paths.task_folder("q"), "test")
    assert [question.uid for question in questions] == list(logits)
    for question in questions:
        found = logits[question.uid]
        assert found.labels == ("A", "B", "C", "D")
        texts = (*found.labels, *question.options)
        [scored] = job._inference.score_texts([Choice("a", question.uid, question.prompt, texts, "options")])
        sums = [pytest.approx(sum(each.stored.logprobs), abs=1e-6) for each in scored]
        assert [*found.label_logprobs, *found.text_logprobs] == sums
        assert list(found.text_tokens) == [len(each.stored.tokens) for each in scored[4:]]
        assert found.scored_tokens == sum(len(each.stored.tokens) for each in scored)
        assert all(each.cached for each in scored)


ITEMS = 40


def option_study(folder, checkpoint, **settings):
    """Forty items with four options each."""
    content = {
        "study": "s",
        "models": {
            name: {"kind": "local", "path": str(checkpoint("base", seed)), "family": "llama", "tokenizer": "zoo"}
            for name, seed in (("a", 0), ("b", 1))
        },
        "pools": {"p": ["a", "b"]},
        "tasks": {"q": {"source": {**SKILLS, "form": "choice", "items": {"dev": 6, "test": ITEMS}}}},
        "methods": {"options": {"method": "logit_logit_fusion", "mode": "options"}},
    }
    made = RealStudy(folder, content)
    [path] = [each for each in made.planned("logits") if "/a/" in each and "/test/" in each]
    work = made.job(path)
    work._inference.add(work._info, EngineSettings(**settings))
    work.run()
    [job] = read_rows(made.results / paths.job_perf(path), JOB_PERF)
    return made, logits_of(made.results / path, "options", "q"), job


def test_options_are_scored_with_every_prompt_read_once(tiny_checkpoint, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    study, logits, job = option_study(tmp_path / "usual", tiny_checkpoint)
    questions = read_questions(study.results / paths.task_folder("q"), "test")
    assert len(questions) == len(logits) == ITEMS
    folder = tiny_checkpoint("base", 0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    prompt_tokens = text_tokens = 0
    for question in questions:
        turns = [{"role": "user", "content": question.prompt}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer(text, add_special_tokens=False)["input_ids"]
        prompt_tokens += len(prompt)
        alone = []
        for option in ("A", "B", "C", "D", *question.options):
            ids = tokenizer(option, add_special_tokens=False)["input_ids"]
            text_tokens += len(ids)
            with torch.inference_mode():
                steps = torch.log_softmax(network(torch.tensor([prompt + ids])).logits[0], dim=-1)
            alone.append(math.fsum(float(steps[len(prompt) - 1 + at, token]) for at, token in enumerate(ids)))
        found = logits[question.uid]
        assert [*found.label_logprobs, *found.text_logprobs] == pytest.approx(alone, abs=1e-6 * len(ids))
    # One prompt for eight texts; what is asked of a text's last token is known before it is read.
    assert prompt_tokens < job["read_tokens"] <= 1.3 * (prompt_tokens + text_tokens)
    _, narrow, again = option_study(tmp_path / "narrow", tiny_checkpoint, batch_rows=3)
    assert narrow == logits
    # Eight texts in batches of three.
    assert again["read_tokens"] == job["read_tokens"] + 2 * prompt_tokens


def test_reference_logits_are_those_of_the_gold_answers(study):
    for task in ("t", "q"):
        path = paths.logits("reference", "a", batch(study, task), "dev")
        job = study.job(path)
        job.run()
        logits = logits_of(study.results / path, "reference", task)
        references = read_references(study.results / paths.task_folder(task), "dev")
        questions = read_questions(study.results / paths.task_folder(task), "dev")
        assert {uid: found.text for uid, found in logits.items()} == {
            uid: str(gold.gold) if task == "t" else gold.gold["key"] for uid, gold in references.items()
        }
        golds = [Choice("a", item.uid, item.prompt, (logits[item.uid].text,), "gold") for item in questions]
        scored = [one for [one] in job._inference.score_texts(golds)]
        assert [list(logits[item.uid].logprobs) for item in questions] == [each.stored.logprobs for each in scored]
        for file in (study.results / path).parent.glob("reference*"):
            file.unlink()


def test_only_what_methods_read_is_cached(study):
    made = {str(path.relative_to(study.results / "logits")) for path in (study.results / "logits").rglob("*.parquet")}
    assert {name.split("/")[1] for name in made if name.endswith("options.parquet")} == {batch(study, "q")}
    assert not [name for name in made if "/dev/options" in name or "reference" in name]
    assert f"b/{batch(study, 't')}/dev/response/seed1/s0.parquet" in made


def test_what_was_really_done_stands_beside_the_files(study):
    options = paths.logits("options", "a", batch(study, "q"), "test")
    perf = read_rows(study.results / paths.perf(options), PERF)
    # Letters and texts of five items.
    assert len([row for row in perf if row["kind"] == "reply" and not row["cached"]]) == 5 * 8
    assert [row["model"] for row in perf if row["kind"] == "load"] == ["a"]
    responses = paths.response_logits("a", batch(study, "t"), "test", 1, "s0")
    looked_up = read_rows(study.results / paths.perf(responses), PERF)
    assert {(row["kind"], row["cached"]) for row in looked_up} == {("reply", True)}


def test_every_logits_job_tells_what_its_model_did(study):
    path = paths.logits("options", "a", batch(study, "q"), "test")
    [row] = read_rows(study.results / paths.job_perf(path), JOB_PERF)
    assert (row["job"], row["system"], row["model"], row["tasks"]) == ("logits", "a", "a", ["q"])
    assert (row["items"], row["cached"], row["made_tokens"], row["loads"]) == (5 * 8, 0, 0, 1)
    assert row["read_tokens"] > 0
    looked_up = [
        row
        for path in (study.results / "logits/a").rglob("*_job_perf.parquet")
        for row in read_rows(path, JOB_PERF)
        if "t" in row["tasks"] and row["job"] == "logits"
    ]
    assert looked_up
    assert all(each["items"] == each["cached"] > 0 and each["loads"] == 0 for each in looked_up)


def test_alternatives_that_are_damaged_are_made_again(study, tmp_path, caplog):
    """Replies are looked up without their alternatives, so the job finds out only when it wants these."""
    results = tmp_path / "results"
    shutil.copytree(study.results, results)
    shutil.copytree(study.results.parent / ".moco", tmp_path / ".moco")
    path = paths.response_logits("a", batch(study, "t"), "test", 1, "s0")
    before = (results / path).read_bytes()
    for shard in (tmp_path / ".moco/store/generations").rglob("*.parquet"):
        place = pq.ParquetFile(shard).metadata.row_group(0)
        [column] = (
            place.column(index)
            for index in range(place.num_columns)
            if place.column(index).path_in_schema.startswith("top_logprobs")
        )
        data = bytearray(shard.read_bytes())
        data[column.data_page_offset + column.total_compressed_size // 2] ^= 1
        shard.write_bytes(data)
    again = study.job(path)
    again.results = results
    again.run()
    assert again._inference.resident.loads == 1
    assert "set aside, its requests will be generated again" in caplog.text
    assert pq.read_table(results / path) == pq.read_table(pa.BufferReader(before))


@pytest.mark.parametrize("pool", ["p", "copies"])
@pytest.mark.parametrize("method", ["api_cascade", "options", "text_majority_vote", "text_slm_mux"])
def test_methods_on_cached_responses_and_logits_load_no_model(study, pool, method):
    if study.plan.matrix.needs(pool, method).fit is not None:
        assert study.fit(pool, method).inference.resident.loads == 0
    assert study.answer(pool, method).inference.resident.loads == 0


def test_prompt_routing_loads_its_router_only(study):
    fit = study.fit("p", "api_prompt_routing")
    assert fit.inference.resident.loads == 0
    job = study.answer("p", "api_prompt_routing")
    loaded = {key[0] for key in job.inference.resident._engines}
    assert job.inference.resident.loads == 1
    assert loaded == {job.infos["a" if _router(study) == 0 else "b"].fingerprint}


def test_the_cascade_s_confidence_is_the_formula_on_stored_logits(study):
    study.fit("p", "api_cascade")
    study.answer("p", "api_cascade")
    where = ("p", batch(study, "t"), "api_cascade", 1, "test")
    rows = [row for row in read_rows(study.results / paths.answers(*where), ANSWERS) if row["task"] == "t"]
    logits = response_logits(study, "a", "t")
    plain = {name: {row["uid"]: row["text"] for row in plain_rows(study, name, "t")} for name in "ab"}
    levels = set()
    for row in rows:
        record = json.loads(row["record_json"])
        steps = logits[row["uid"]].top_logprobs
        formula = sum(math.exp(step[0]) / sum(map(math.exp, step[:5])) for step in steps) / len(steps)
        assert record["confidences"] == [pytest.approx(formula, abs=1e-12)]
        assert record["level"] == int(formula < record["thresholds"][0])
        assert row["text"] == plain["ab"[record["level"]]][row["uid"]]
        levels.add(record["level"])
    assert levels == {0, 1}
    calls = read_frame(study.results / paths.calls(*where), CALLS)
    calls = calls[calls["task"] == "t"]
    reached = calls.groupby("uid")["model"].apply(list).to_dict()
    assert {uid: len(models) for uid, models in reached.items()} == {
        row["uid"]: json.loads(row["record_json"])["level"] + 1 for row in rows
    }


def test_fusion_decodes_both_tasks_in_one_round_with_one_load_per_model(study):
    job = study.answer("copies", "logit_logit_fusion")
    assert job.inference.resident.loads <= 2
    where = ("copies", study.batch("copies", "logit_logit_fusion", "t"), "logit_logit_fusion", 1, "test")
    calls = read_frame(study.results / paths.calls(*where), CALLS)
    calls = calls[calls["task"] == "t"]
    assert set(calls["kind"]) == {"joint"}
    # Equal members are read once.
    assert sorted(calls["model"].value_counts().to_dict().items()) == [("a", 5), ("b", 5)]
    assert set(calls["round"]) == {0}


def test_a_failed_model_leaves_failed_rows_that_say_why(study):
    jobs = [study.job(path) for path in study.planned("logits") if path.startswith("logits/a/")]
    jobs.append(study.job(paths.logits("reference", "a", batch(study, "q"), "dev")))
    assert {job.kind for job in jobs} == {"options", "reference", "response"}
    write_json(study.results / paths.model_json("gone"), {"failed": "merge: out of memory"})
    for job in jobs:
        job.model = "gone"
        with pytest.raises(FailedInput, match="out of memory"):
            job.run()
        job.write_failed("merge: out of memory")
        rows = read_rows(job.path, LOGITS_SCHEMAS[job.kind])
        samples = paths.block_samples(job.block) if job.kind == "response" else [0]
        items = [item.uid for task in job.spec["tasks"] for item in read_questions_of(study, task, job.split)]
        assert sorted(row["uid"] for row in rows) == sorted(items * len(samples))
        assert {row["reason"] for row in rows} == {"merge: out of memory"}
        assert logits_by_item(rows, job.kind) == {}


def read_questions_of(study, task, split):
    return read_questions(study.results / paths.task_folder(task), split)


def _router(study):
    folder = study.results / paths.fit_folder("p", study.batch("p", "api_prompt_routing", "q"), "api_prompt_routing", 1)
    folder /= "q"
    return read_state(folder).data["member"]
