"""Fits that serve all tasks, train models and read corpora, by probes that are run through the jobs on real models."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.real_study import RealStudy

from moco import paths
from moco.cli import main
from moco.digest import file_digest
from moco.errors import RequestError
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Helper, Method, Needs, Request, State, method
from moco.models.info import ModelInfo
from moco.records import ANSWERS, CALLS, COSTS, GENERATIONS, read_json, read_rows

pytestmark = pytest.mark.usefixtures("registries", "clean_environment")

TRAINABLE = frozenset({"trainable"})
PAIRS = [("Say the word.", "7"), ("And the other one?", "b")]


def register(needs, fit, answer=None):
    """Register method `control_probe`, which consists of two functions."""
    silent = lambda ctx, _state: (Answer(item.uid, "", fallback="a probe") for item in ctx.questions)  # noqa: E731
    body = {
        "__doc__": "A probe.",
        "__module__": __name__,
        "needs": lambda _self, _pool: needs,
        "fit": lambda _self, ctx: fit(ctx),
        "answer": lambda _self, ctx, state: (answer or silent)(ctx, state),
    }
    method("control_probe", level="control", papers=())(type("Probe", (Method,), body))


@pytest.fixture
def study(tmp_path, tiny_checkpoint, clean_environment):
    """Return a maker of a study of the registered probe: two batches of two tasks with equal groups, one by groups."""

    def table(name, number):
        for split in ("dev", "test"):
            lines = [
                {
                    "question": f"{split} {name}: {place} + {number}?",
                    "answer": str(place + number),
                    "group": f"{split}{place // 2}",
                }
                for place in range(8)
            ]
            (tmp_path / f"{name}-{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        columns = {"question": "question", "gold": "answer", "group": "group"}
        files = {split: str(tmp_path / f"{name}-{split}.jsonl") for split in ("dev", "test")}
        return {"source": {"kind": "table", "paths": files, "columns": columns}, "type": "exact_match"}

    def make(folder="study", **changes):
        alike = {"kind": "local", "family": "llama", "tokenizer": "zoo"}
        models = {
            name: {**alike, "path": str(tiny_checkpoint("base", seed))}
            for seed, name in enumerate(("one", "two", "third"))
        }
        content = {
            "study": "s",
            "models": models,
            "pools": {"p": ["one", "two"]},
            "tasks": {"t": {**table("t", 1), "decoding": "short"}, "u": {**table("u", 2), "group_score": True}},
            "decoding": {
                "default": {"max_new_tokens": 6, "temperature": 0.0},
                "short": {"max_new_tokens": 2, "temperature": 0.0},
            },
            "methods": {"control_probe": {}},
            **changes,
        }
        (tmp_path / folder).mkdir()
        made = RealStudy(tmp_path / folder, content)
        made.use(clean_environment)
        return made

    return make


def learned(study, task=paths.ALL):
    batch = task if task == paths.ALL else study.batch("p", "control_probe", task)
    return study.results / paths.fit_folder("p", batch, "control_probe", 1) / task


def rows(study, path, schema, task):
    batch = study.batch("p", "control_probe", task)
    return read_rows(study.results / path("p", batch, "control_probe", 1, "test"), schema)


def test_one_fit_reads_all_tasks_and_its_state_serves_all_answers(study):
    def fit(ctx):
        plain, scores = ctx.plain(0), ctx.dev_scores(1)
        replies = ctx.generate([Request(0, item.uid, item.prompt, "again") for item in ctx.questions])
        same = [reply.key == plain[item.uid].key for item, reply in zip(ctx.questions, replies, strict=True)]
        return State({"tasks": [item.task for item in ctx.questions], "same": same, "scored": sorted(scores)})

    def answer(ctx, state):
        for item in ctx.questions:
            yield Answer(item.uid, f"{item.task} of {len(state.data['tasks'])}")

    needs = Needs(fit=FitNeeds(plain=1, dev_scores=True, generates=True), fit_scope="pool")
    register(needs, fit, answer)
    made = study()
    made.run("p", "control_probe")
    data = read_json(learned(made) / "fit.json")["data"]
    assert data["tasks"] == ["t"] * 8 + ["u"] * 8
    assert all(data["same"]), "an item is asked as its own task says, so the reply is the plain one"
    assert len(data["scored"]) == 16
    for task in "tu":
        assert {row["text"] for row in rows(made, paths.answers, ANSWERS, task)} == {f"{task} of 16"}
    calls = read_rows(learned(made) / "calls.parquet", CALLS)
    assert {call["task"] for call in calls} == {"t", "u"}
    read = [call["model"] for call in calls if call["kind"] == "plain"]
    assert (read.count("one"), read.count("two")) == (16, 16), "scores rest on replies, which count as read"


def test_a_fit_for_all_tasks_is_listed_in_full_with_each_and_marked(study):
    def fit(ctx):
        return State({"read": len([ctx.plain(0)[item.uid].text for item in ctx.questions])})

    register(Needs(fit=FitNeeds(plain=1), fit_scope="pool"), fit)
    made = study()
    made.run("p", "control_probe")
    spent = {task: [row for row in rows(made, paths.costs, COSTS, task) if row["stage"] == "fit"] for task in "tu"}
    assert [{**row, "task": ""} for row in spent["t"]] == [{**row, "task": ""} for row in spent["u"]]
    [row] = spent["t"]
    tokens = 0
    for task in "tu":
        batch = made.batch("p", "control_probe", task)
        plain = read_rows(made.results / paths.generation("one", batch, "dev", 1, "s0"), GENERATIONS)
        tokens += sum(reply["prompt_tokens"] + reply["completion_tokens"] for reply in plain)
    assert (row["scope"], row["items"]) == ("pool", 16)
    assert row["prompt_tokens"] + row["completion_tokens"] == tokens


def test_items_are_scored_in_groups_where_their_own_task_says_so(study):
    def fit(ctx):
        gold = {uid: reference.gold for uid, reference in ctx.references().items()}
        wrong = {ctx.questions[0].uid, ctx.questions[8].uid}
        scores = ctx.score([(item.uid, "no" if item.uid in wrong else gold[item.uid]) for item in ctx.questions])
        return State({"scores": scores})

    register(Needs(fit=FitNeeds(references=True), fit_scope="pool"), fit)
    made = study()
    made.fit("p", "control_probe")
    scores = read_json(learned(made) / "fit.json")["data"]["scores"]
    by_task = [scores[:8], scores[8:]]
    assert by_task[0] == [0.0] + [1.0] * 7
    wrong = [place for place, score in enumerate(by_task[1]) if score == 0]
    assert len(wrong) == 2, "the pair of the wrong item, whose label the other task has too"


def test_a_fit_for_all_tasks_that_is_found_in_the_store_is_not_made_again(study):
    made_times = []

    def fit(_ctx):
        made_times.append(1)
        return State({})

    register(Needs(fit=FitNeeds(), fit_scope="pool"), fit)
    made = study()
    made.fit("p", "control_probe")
    made.fit("p", "control_probe")
    assert len(made_times) == 1
    fewer = study("fewer", tasks={"t": made.content["tasks"]["t"]})
    fewer.fit("p", "control_probe")
    assert len(made_times) == 2


def test_a_fit_is_shared_by_pools_of_equal_members_in_order_and_by_nothing_else(study):
    made_of = []

    def fit(ctx):
        made_of.append(("".join(member.model[0] for member in ctx.pool), *{item.task for item in ctx.questions}))
        return State({})

    register(Needs(fit=FitNeeds()), fit)
    made = study(
        pools={"p": ["one", "two"], "again": ["one", "two"], "turned": ["two", "one"], "more": ["one", "two", "third"]}
    )
    for pool in ("p", "again", "turned", "more"):
        made.fit(pool, "control_probe")
    assert sorted(made_of) == [(members, task) for members in ("ot", "ott", "to") for task in "tu"]


# Training


def trains(needs=None, **settings):
    """Register a probe that trains its first member on `PAIRS` and asks what it trained, in the fit and in answers."""

    def fit(ctx):
        trained = ctx.train("sft", 0, PAIRS, "pupil", **settings)
        requests = [Request("pupil", ctx.questions[0].uid, prompt, "try") for prompt, _ in PAIRS]
        return State({"said": [reply.text for reply in ctx.generate(requests)]}, models={"pupil": trained})

    def answer(ctx, _state):
        requests = [Request("pupil", item.uid, PAIRS[0][0], "ask") for item in ctx.questions]
        for item, reply in zip(ctx.questions, ctx.generate(requests), strict=True):
            yield Answer(item.uid, reply.text, models=("pupil",))

    declared = Needs(
        AnswerNeeds(generates=True), FitNeeds(trains=True, generates=True), capabilities=TRAINABLE, models=("pupil",)
    )
    register(replace(declared, **(needs or {})), fit, answer)


def make_model(study, slug):
    for verb in ("merge", "resolve"):
        assert main([verb, "--results", str(study.results), "--model", slug]) == 0
    return ModelInfo.read(study.results / paths.model_json(slug))


TAUGHT = {"steps": 80, "batch": 2, "learning_rate": 5e-3}


@pytest.mark.parametrize("how", [TAUGHT, {**TAUGHT, "rank": 8, "learning_rate": 3e-2}], ids=["weights", "adapter"])
@pytest.mark.parametrize("scope", ["task", "pool"])
def test_a_model_that_a_fit_trained_says_what_it_was_taught_in_the_fit_and_in_answers(study, scope, how):
    trains({"fit_scope": scope}, **how)
    made = study()
    made.fit("p", "control_probe")
    place = paths.ALL if scope == "pool" else "t"
    assert read_json(learned(made, place) / "fit.json")["data"]["said"] == [reply for _, reply in PAIRS]
    parent = ModelInfo.read(made.results / paths.model_json("one"))
    slugs = [f"p--{task}--control_probe--s1--pupil" for task in (("t", "u") if scope == "task" else ("_all",))]
    for slug in slugs:
        info = make_model(made, slug)
        assert info.parents == ({"name": "one", "fingerprint": parent.fingerprint},)
        for same in ("family", "tokenizer", "engine", "context", "prompt_mode", "template_date"):
            assert getattr(info, same) == getattr(parent, same), same
        assert info.kind == "student"
        assert (info.base is not None) == ("rank" in how)
        assert info.parameters >= parent.parameters
        assert info.fingerprint != parent.fingerprint
    made.answer("p", "control_probe")
    for task in "tu":
        assert {row["text"] for row in rows(made, paths.answers, ANSWERS, task)} == {PAIRS[0][1]}
        [spent] = [row for row in rows(made, paths.costs, COSTS, task) if row["stage"] == "train"]
        assert (spent["role"], spent["model"], spent["scope"]) == ("fitted", "pupil", scope)
        assert spent["flops"] == 6 * spent["parameters"] * spent["prompt_tokens"]


def test_tasks_of_one_job_may_train_the_same_and_one_model_twice(study):
    def fit(ctx):
        ctx.train("sft", 0, PAIRS, "pupil", steps=1)
        trained = ctx.train("sft", 0, PAIRS, "pupil", steps=2)
        rounds = 1 + (ctx.questions[0].task == "u")
        for _ in range(rounds):
            ctx.generate([Request("pupil", item.uid, item.prompt, "try") for item in ctx.questions])
        return State({"rounds": rounds}, models={"pupil": trained})

    register(Needs(fit=FitNeeds(trains=True, generates=True), capabilities=TRAINABLE, models=("pupil",)), fit)
    tasks = study("probe").content["tasks"]
    made = study(tasks={"t": tasks["t"], "u": {**tasks["u"], "decoding": "short"}})
    assert made.batch("p", "control_probe", "t") == made.batch("p", "control_probe", "u")
    made.fit("p", "control_probe")
    found = [
        {file.name: file_digest(file) for file in (learned(made, task) / "models/pupil").iterdir()} for task in "tu"
    ]
    assert found[0] == found[1]


def test_training_is_exact_and_follows_from_seed_and_parent(study):
    trains(steps=3, batch=1)

    def trained(folder, **changes):
        made = study(folder, **changes)
        made.fit("p", "control_probe")
        path = learned(made, "t") / "models" / "pupil"
        return {file.name: file_digest(file) for file in path.iterdir()}

    first = trained("a")
    assert "model.safetensors" in first
    assert first == trained("b")
    assert first["model.safetensors"] != trained("c", pools={"p": ["third", "two"]})["model.safetensors"]


def test_the_order_of_pairs_follows_from_the_seed(study):
    trains(steps=3, batch=1)
    made = study(seeds=[1, 2])
    made.fit("p", "control_probe")
    one, two = (Path(str(learned(made, "t")).replace("seed1", f"seed{seed}")) for seed in (1, 2))
    assert file_digest(one / "models/pupil/model.safetensors") != file_digest(two / "models/pupil/model.safetensors")


def test_training_says_what_it_cannot_do_in_one_line(study):
    def fault(match, **how):
        kind, parent = how.pop("kind", "sft"), how.pop("parent", 0)
        pairs = how.pop("pairs", PAIRS)

        def fit(ctx):
            with pytest.raises(RequestError, match=match):
                ctx.train(kind, parent, pairs, "pupil", **how)

        return fit

    faults = [
        fault("cannot train by 'rlhf'", kind="rlhf"),
        fault("unknown", stepps=3),
        fault("-1", steps=-1),
        fault("nothing to learn", pairs=[], steps=1),
    ]

    def fit(ctx):
        for each in faults:
            each(ctx)
        return State({"tried": len(faults)})

    register(Needs(fit=FitNeeds(trains=True), capabilities=TRAINABLE), fit)
    study().fit("p", "control_probe")


def test_a_helper_and_a_trained_model_are_trained_further_and_keep_their_origin(study):
    def fit(ctx):
        first = ctx.train("sft", "tutor", PAIRS, "first", steps=1)
        second = ctx.train("sft", "first", PAIRS, "pupil", steps=1)
        return State({"parents": [first.parent, second.parent]}, models={"pupil": second})

    helper = Helper("third", TRAINABLE)
    register(Needs(fit=FitNeeds(trains=True), models=("pupil",), helpers={"tutor": helper}), fit)
    made = study()
    made.fit("p", "control_probe")
    third = ModelInfo.read(made.results / paths.model_json("third")).fingerprint
    assert read_json(learned(made, "t") / "fit.json")["data"]["parents"] == [third, third]
    info = make_model(made, "p--t--control_probe--s1--pupil")
    assert info.parents == ({"name": "third", "fingerprint": third},)


def test_preferences_and_rewards_train_too_and_a_trained_adapter_goes_on(study):
    seen = []

    def reward(replies):
        seen.extend(replies)
        return [float("a" in text) for _, text in replies]

    def fit(ctx):
        uid = ctx.questions[0].uid
        ctx.train("sft", 0, PAIRS, "pupil", steps=2, rank=4)
        preferred = [("Say the word.", "7", "9", uid, "a test")]
        ctx.train("dpo", "pupil", preferred, "pupil", steps=2, rank=4)
        made = ctx.train(
            "grpo", "pupil", [("Say it.", "", "", uid)], "pupil", reward=reward, steps=1, batch=4, group=2, rank=4
        )
        ctx.train("sft", 0, PAIRS, "whole", steps=1)
        with pytest.raises(RequestError, match="whose weights this fit trained, would have no base"):
            ctx.train("sft", "whole", PAIRS, "on whole", steps=1, rank=4)
        return State({}, models={"pupil": made})

    register(Needs(fit=FitNeeds(trains=True), capabilities=TRAINABLE, models=("pupil",)), fit)
    made = study(tasks={"t": study("probe").content["tasks"]["t"]})
    made.fit("p", "control_probe")
    assert {uid.partition("/")[0] for uid, _ in seen} == {"t"}
    assert len(seen) == 4
    info = make_model(made, "p--t--control_probe--s1--pupil")
    parent = ModelInfo.read(made.results / paths.model_json("one"))
    assert info.base["fingerprint"] == parent.fingerprint
    costs = read_rows(learned(made, "t") / "costs.parquet", COSTS)
    [of_rewards] = [row for row in costs if row["stage"] == "train" and row["completion_tokens"]]
    read, written, size = (of_rewards[name] for name in ("prompt_tokens", "completion_tokens", "parameters"))
    assert 4 <= written <= 8, "replies are as long as the task's, two tokens"
    assert of_rewards["flops"] == size * (6 * read + 2 * written)


# Corpora


def test_a_corpus_is_read_by_its_columns_and_its_content_is_in_the_key_of_the_fit(study, tmp_path):
    seen = []

    def fit(ctx):
        seen.append(ctx.corpus("wiki"))
        return State({})

    register(Needs(fit=FitNeeds(corpora=("wiki",))), fit)
    path = tmp_path / "wiki.csv"
    path.write_text("text,title,page\nfirst,one,1\nsecond,two,2\n")
    entry = {"path": str(path), "columns": ["title", "text"]}
    made = study(corpora={"wiki": entry}, tasks={"t": study("probe").content["tasks"]["t"]})
    made.fit("p", "control_probe")
    assert seen == [[{"title": "one", "text": "first"}, {"title": "two", "text": "second"}]]
    path.write_text("text,title,page\nfirst,one,3\nsecond,two,2\n")
    made.fit("p", "control_probe")
    assert len(seen) == 2, "the file is another one, so the fit is made again"
    made.fit("p", "control_probe")
    assert len(seen) == 2


def test_a_corpus_that_is_not_declared_is_refused(study):
    def fit(ctx):
        with pytest.raises(RequestError, match="corpus wiki that its `needs` does not declare"):
            ctx.corpus("wiki")
        return State({})

    register(Needs(fit=FitNeeds()), fit)
    study().fit("p", "control_probe")
