"""Models whose replies are dear: asked for what a method reads, once, and with the same results as when all is there."""

import hashlib
import json
from collections import Counter

import pytest
from support.llm_server import Answer, LanguageServer, reply

from moco import paths
from moco.config.engine import EngineSettings
from moco.config.models import ServerModel
from moco.config.runtime import LAST_ATTEMPT
from moco.config.tasks import TaskEntry
from moco.engines.logits import LogitsJob
from moco.engines.plain import generate_plain
from moco.errors import WorkError
from moco.methods.answering import AnswerJob
from moco.methods.catalogue import make_method
from moco.methods.fitting import FitJob
from moco.models.resolve import resolve
from moco.records import ANSWERS, CALLS, COSTS, GENERATIONS, PERF, RESPONSE_LOGITS, SCORES, read_rows
from moco.scoring.files import score_answers, score_plain
from moco.tasks.prepare import prepare, read_questions

TASKS = ("t", "u")
POOL = ["near", "mid", "far"]
DECODING = {"decoding_name": "default", "decoding": {"max_new_tokens": 16, "temperature": 0.7}}
ITEMS = 12
METHODS = {
    "ask": ("api_cascade", {"mode": "just_ask"}),
    "sure": ("api_cascade", {}),
    "route": ("api_prompt_routing", {}),
    "best": ("control_best_single", {}),
    "random": ("control_random", {}),
    "vote": ("control_self_consistency", {"samples": 2}),
}


def number(*parts) -> int:
    return int(hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:8], 16)


def answered(asked, _number):
    """Some doubt themselves, the router names all members, and confidences differ; whatever the server's port is."""
    drawn = number(asked.body["model"], asked.prompt)
    text = f"\\box{{{drawn % 10}}}"
    if "I am unconfident" in asked.prompt and drawn % 2:
        text += "\nI am unconfident."
    if "Write its number only" in asked.prompt:
        text = str(drawn % 3 + 1)
    top = -0.1 - (drawn % 97) / 100
    step = {"logprob": top, "top_logprobs": [{"logprob": top}, *({"logprob": -3.0 - place} for place in range(4))]}
    message = {"role": "assistant", "content": text}
    return Answer(reply(asked, message=message, logprobs={"content": [step] * 3}))


SILENT = {"mid": 3, "far": 5}
"""Test items, by number, to which a model gives no text where the server is told so."""


@pytest.fixture
def server():
    started = LanguageServer(answered)
    yield started
    started.close()


class Folder:
    """Results of a study of served models, of which some are priced."""

    def __init__(self, root, server, monkeypatch, priced):
        self.results, self.server, self.priced = root / "results", server, priced
        # Many threads and the server in one process would mostly wait for each other.
        served = {name: {"concurrency": 2} for name in POOL}
        monkeypatch.setenv("MOCO_RUNTIME", json.dumps({"priced": priced, "served": served}))
        for seed, task in enumerate(TASKS):
            items = {"dev": 4, "test": ITEMS}
            source = {"kind": "synthetic", "skills": ["add"], "items": items, "seed": seed}
            prepare(task, TaskEntry(source=source), self.results / paths.task_folder(task), {})
        for name in POOL:
            entry = ServerModel(kind="server", endpoint=server.endpoint, name=name, date="2026-01-31", logprobs=True)
            resolve(name, entry, EngineSettings(), root).write(self.results / paths.model_json(name))

    def generate(self, split, models=POOL, samples=(0, 1)):
        generate_plain(self.results, [(m, t) for m in models for t in TASKS], [split], samples, 1, DECODING)
        for model in models:
            LogitsJob(self.results, "response", model, TASKS, [split], samples, 1, DECODING).run()

    def score_dev(self):
        for name in POOL:
            for task in TASKS:
                source = paths.generation(name, task, "dev", "default", 1, 0)
                score_plain(self.results, task, "dev", source, {"scorer": "strict", "type": "exact_match"})

    def spec(self, variant, answers=1):
        method, params = METHODS[variant]
        return {
            "method": method,
            "params": make_method(method, params).params.slice(),
            "pool": POOL,
            "tasks": {task: {"type": "exact_match", "answers": answers} for task in TASKS},
            "scorer": "strict",
            "descriptions": [f"knows what {name} knows" for name in POOL],
            **DECODING,
        }

    def fit(self, variant):
        method, params = METHODS[variant]
        if make_method(method, params).needs(len(POOL)).fit is not None:
            FitJob(self.results, self.spec(variant), "p", variant, 1).run()

    def answer(self, variant, answers=1):
        """Return what the server was asked meanwhile."""
        before = len(self.server.asked)
        AnswerJob(self.results, self.spec(variant, answers), "p", variant, 1).run("test")
        return self.server.asked[before:]

    def files(self, variant):
        wheres = [("p", task, variant, 1, "test") for task in TASKS]
        kinds = ((paths.answers, ANSWERS), (paths.calls, CALLS), (paths.costs, COSTS))
        return [read_rows(self.results / make(*where), schema) for where in wheres for make, schema in kinds]

    def calls(self, variant):
        return [
            row for task in TASKS for row in read_rows(self.results / paths.calls("p", task, variant, 1, "test"), CALLS)
        ]


@pytest.fixture
def study(tmp_path, server, clean_environment):
    """Return a maker of prepared, dev-scored folders with stores of their own."""

    def make(name, priced):
        clean_environment.setenv("MOCO_STORE", str(tmp_path / name / "store"))
        folder = Folder(tmp_path / name, server, clean_environment, priced)
        folder.generate("dev")
        folder.score_dev()
        return folder

    return make


def withholds(folder):
    """Return the uids of the items that some model refuses, and let the server refuse them."""
    questions = {
        model: read_questions(folder.results / paths.task_folder("t"), "test")[place] for model, place in SILENT.items()
    }

    def answer(asked, number):
        if asked.body["model"] in SILENT and questions[asked.body["model"]].prompt in asked.prompt:
            return Answer(reply(asked, finish_reason="content_filter"))
        return answered(asked, number)

    folder.server.answer = answer
    return {model: question.uid for model, question in questions.items()}


def by_model(requests):
    return Counter(asked.body["model"] for asked in requests)


def requests_of(calls, models):
    """Return how many replies of each model were read, each once."""
    read = {(row["model"], row["key"]) for row in calls if row["model"] in models}
    return Counter(model for model, _ in read)


@pytest.mark.parametrize("variant", METHODS)
def test_a_priced_model_is_asked_for_what_is_read_and_the_results_are_the_same(study, variant):
    whole = study("whole", [])
    whole.generate("test")
    whole.fit(variant)
    whole.answer(variant)
    priced = study("priced", ["far", "mid"])
    priced.generate("test", ["near"])
    priced.fit(variant)
    asked = priced.answer(variant)
    calls = priced.calls(variant)
    assert priced.files(variant) == whole.files(variant)
    own = {row["key"] for row in calls if row["kind"] == "own" and row["model"] == "near"}
    assert by_model(asked) == requests_of(calls, ["far", "mid"]) + Counter(near=len(own))
    if variant in ("ask", "sure", "route", "random"):
        assert 0 < by_model(asked)["far"] < len(TASKS) * ITEMS * (1 + (variant == "route"))
    assert not priced.answer(variant), "a second run asks for nothing"


def test_a_later_plain_generation_asks_for_the_rest_alone(study, server):
    priced = study("priced", ["far"])
    priced.generate("test", ["near", "mid"])
    priced.fit("sure")
    reached = by_model(priced.answer("sure"))["far"]
    assert 0 < reached < len(TASKS) * ITEMS
    before = len(server.asked)
    priced.generate("test", ["far"], [0])
    assert len(server.asked) - before == len(TASKS) * ITEMS - reached
    texts = {row["uid"]: row["text"] for task in TASKS for row in plain(priced, "far", task)}
    read = [row for row in priced.calls("sure") if row["model"] == "far"]
    assert read
    assert all(texts[row["uid"]] == row["text"] for row in read)


def plain(folder, model, task):
    return read_rows(folder.results / paths.generation(model, task, "test", "default", 1, 0), GENERATIONS)


def test_what_was_asked_is_paid_for_in_the_answer_s_performance_file(study):
    priced = study("priced", ["far", "mid"])
    priced.generate("test", ["near"])
    priced.fit("sure")
    asked = by_model(priced.answer("sure"))
    rows = [
        row
        for task in TASKS
        for row in read_rows(priced.results / paths.perf(paths.calls("p", task, "sure", 1, "test")), PERF)
    ]
    assert Counter(row["model"] for row in rows if row["kind"] == "reply" and not row["cached"]) == asked
    assert not [row for row in rows if row["kind"] == "load"]


def test_several_answers_ask_for_samples_of_their_own(study):
    priced = study("priced", POOL)
    priced.answer("random", answers=3)
    rows = priced.files("random")[0]
    assert Counter(row["answer"] for row in rows) == {0: ITEMS, 1: ITEMS, 2: ITEMS}
    calls = priced.calls("random")
    assert {row["sample"] for row in calls} == {0, 1, 2}
    assert len({row["key"] for row in calls}) == len(calls) == 3 * ITEMS * len(TASKS)


def test_served_models_are_priced_where_nothing_says_otherwise(study, clean_environment):
    priced = study("priced", [])
    clean_environment.delenv("MOCO_RUNTIME")
    assert sum(by_model(priced.answer("random")).values()) == len(TASKS) * ITEMS


def failed(rows):
    return {row["uid"]: row["reason"] for row in rows if row["status"] == "failed"}


def test_an_item_without_a_reply_is_a_failed_row_of_its_own(study, clean_environment):
    folder = study("recorded", [])
    silent = withholds(folder)
    with pytest.raises(WorkError, match="withheld"):
        folder.generate("test")
    clean_environment.setenv(LAST_ATTEMPT, "1")
    before = len(folder.server.asked)
    folder.generate("test", ["far"], [0])
    assert len(folder.server.asked) - before == len(TASKS) * ITEMS, "the logits of a failed item are not asked for"
    rows = plain(folder, "far", "t")
    assert failed(rows) == {silent["far"]: "the reply was withheld (finish_reason content_filter)"}
    assert all((row["text"] is None) == (row["status"] == "failed") for row in rows)
    assert not failed(plain(folder, "far", "u"))
    where = paths.logits("response", "far", "t", "test", "default", 1, 0)
    assert failed(read_rows(folder.results / where, RESPONSE_LOGITS)) == failed(rows)


@pytest.mark.slow
@pytest.mark.parametrize("priced", [[], ["mid", "far"]])
@pytest.mark.parametrize("variant", ["sure", "ask", "route", "random"])
def test_answers_that_need_a_missing_reply_fail_and_no_others(study, clean_environment, variant, priced):
    whole = study("whole", priced)
    clean_environment.setenv(LAST_ATTEMPT, "1")
    whole.generate("test", [name for name in POOL if name not in priced])
    whole.fit(variant)
    whole.answer(variant)
    unbroken = {row["uid"]: row for row in whole.files(variant)[0]}
    calls = {(row["model"], row["uid"]) for row in whole.calls(variant)}
    folder = study("silent", priced)
    silent = withholds(folder)
    folder.generate("test", [name for name in POOL if name not in priced])
    folder.fit(variant)
    folder.answer(variant)
    rows = {row["uid"]: row for row in folder.files(variant)[0]}
    needed = {uid for model, uid in silent.items() if not priced or (model, uid) in calls}
    reasons = failed(rows.values())
    assert reasons.keys() == needed
    assert priced or len(needed) == len(SILENT)
    assert all("withheld" in why and why.split(":")[0] in SILENT for why in reasons.values())
    assert {uid: row for uid, row in rows.items() if uid not in needed} == {
        uid: row for uid, row in unbroken.items() if uid not in needed
    }
    assert not needed & {row["uid"] for row in folder.calls(variant) if row["uid"] in rows}
    source = paths.answers("p", "t", variant, 1, "test")
    score_answers(folder.results, "t", "test", source, {"scorer": "strict", "type": "exact_match"})
    scores = read_rows(folder.results / paths.scores("strict", source), SCORES)
    assert failed(scores) == reasons
    assert all(row["score"] is None for row in scores if row["status"] == "failed")


def test_without_recording_an_item_without_a_reply_ends_the_job(study):
    folder = study("stopped", POOL)

    def answer(asked, number):
        if asked.body["model"] == "far":
            return Answer(reply(asked, finish_reason="content_filter"))
        return answered(asked, number)

    folder.server.answer = answer
    with pytest.raises(WorkError, match="withheld"):
        folder.generate("test", ["far"])
    with pytest.raises(WorkError, match="withheld"):
        folder.answer("ask")
    assert not list(folder.results.rglob("test/default/seed1/s0.parquet"))
    assert not list(folder.results.rglob("answers/**/*.parquet"))
