"""Models whose replies are dear: asked for what a method reads, once, and with the same results as when all is there."""

import hashlib
from collections import Counter

import pytest
from support.llm_server import Answer, LanguageServer, reply
from support.real_study import RealStudy

from moco import paths
from moco.config.runtime import LAST_ATTEMPT
from moco.errors import WorkError
from moco.home import STUDY
from moco.records import ANSWERS, CALLS, COSTS, GENERATIONS, PERF, RESPONSE_LOGITS, SCORES, read_rows
from moco.tasks.prepare import read_questions

TASKS = ("t", "u")
POOL = ["near", "mid", "far"]
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
    """Results of studies of served models, of which some are priced: one study per method variant.

    Args:
        root: The project folder.
        server: What serves the models.
        environment: Where the study's file is named.
        priced: Models that are priced; None: the studies do not say.
    """

    def __init__(self, root, server, environment, priced):
        self.results, self.server = root / "results", server
        self._root, self._environment, self._priced = root, environment, priced
        self._studies = {}

    def of(self, variant, answers=None):
        """Return a variant's study, the one used last where the number of answers is left out."""
        answers = answers or self._studies.get(variant, (1, None))[0]
        if self._studies.get(variant, (None, None))[0] != answers:
            self._studies[variant] = answers, RealStudy(self._root, self._content(variant, answers))
        study = self._studies[variant][1]
        study.use(self._environment)
        return study

    def _content(self, variant, answers):
        models = {}
        for name in POOL:
            # Many threads and the server in one process would mostly wait for each other.
            models[name] = {"kind": "server", "endpoint": self.server.endpoint, "name": name, "date": "2026-01-31"}
            models[name] |= {
                "logprobs": True,
                "requests": {"concurrency": 2},
                "description": f"knows what {name} knows",
            }
            if self._priced is not None:
                models[name]["priced"] = name in self._priced
        source = {"kind": "synthetic", "skills": ["add"], "items": {"dev": 4, "test": ITEMS}}
        method, params = METHODS[variant]
        return {
            "study": "s",
            "models": models,
            "pools": {"p": POOL},
            "tasks": {
                task: {"source": {**source, "seed": seed}, "answers": answers} for seed, task in enumerate(TASKS)
            },
            "decoding": {"default": {"max_new_tokens": 16, "temperature": 0.7}},
            "methods": {variant: {"method": method, **params}},
            "compare": [{"singles": []}],
        }

    def job(self, variant):
        (wildcards,) = self.of(variant).jobs("p", variant)
        return wildcards

    def generate(self, models=POOL):
        """Make the first plain responses to test items, and their logits."""
        study, batch = self.of("sure"), self.job("sure").batch
        for model in models:
            study.make(paths.response_logits(model, batch, "test", 1, "s0"))

    def fit(self, variant):
        study = self.of(variant)
        if study.plan.matrix.needs("p", variant).fit is not None:
            study.fit("p", variant)

    def answer(self, variant, answers=1):
        """Return what the server was asked meanwhile; what the job is given was made before."""
        study, wildcards = self.of(variant, answers), self.job(variant)
        study.make_inputs(wildcards)
        before = len(self.server.asked)
        study.answer_job(wildcards).run("test")
        return self.server.asked[before:]

    def files(self, variant):
        where = ("p", self.job(variant).batch, variant, 1, "test")
        kinds = ((paths.answers, ANSWERS), (paths.calls, CALLS), (paths.costs, COSTS))
        return [read_rows(self.results / make(*where), schema) for make, schema in kinds]

    def calls(self, variant):
        return self.files(variant)[1]


@pytest.fixture
def study(tmp_path, server, clean_environment):
    """Return a maker of folders with stores of their own."""

    def make(name, priced):
        clean_environment.setenv("MOCO_STORE", str(tmp_path / name / "store"))
        return Folder(tmp_path / name, server, clean_environment, priced)

    return make


def withholds(folder):
    """Return the uids of the items that some model refuses, and let the server refuse them."""
    folder.of("sure")
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
    whole.fit(variant)
    whole.answer(variant)
    priced = study("priced", ["far", "mid"])
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
    priced.fit("sure")
    reached = by_model(priced.answer("sure"))["far"]
    assert 0 < reached < len(TASKS) * ITEMS
    before = len(server.asked)
    priced.generate(["far"])
    assert len(server.asked) - before == len(TASKS) * ITEMS - reached
    texts = {row["uid"]: row["text"] for task in TASKS for row in plain(priced, "far", task)}
    read = [row for row in priced.calls("sure") if row["model"] == "far"]
    assert read
    assert all(texts[row["uid"]] == row["text"] for row in read)


def plain(folder, model, task):
    rows = read_rows(folder.results / paths.generation(model, folder.job("sure").batch, "test", 1, "s0"), GENERATIONS)
    return [row for row in rows if row["task"] == task]


def test_what_was_asked_is_paid_for_in_the_answer_s_performance_file(study):
    priced = study("priced", ["far", "mid"])
    priced.fit("sure")
    asked = by_model(priced.answer("sure"))
    answers = paths.answers("p", priced.job("sure").batch, "sure", 1, "test")
    rows = read_rows(priced.results / paths.perf(answers), PERF)
    assert Counter(row["model"] for row in rows if row["kind"] == "reply" and not row["cached"]) == asked
    assert not [row for row in rows if row["kind"] == "load"]


def test_several_answers_ask_for_samples_of_their_own(study):
    priced = study("priced", POOL)
    priced.answer("random", answers=3)
    rows = priced.files("random")[0]
    assert Counter(row["answer"] for row in rows if row["task"] == "t") == {0: ITEMS, 1: ITEMS, 2: ITEMS}
    calls = priced.calls("random")
    assert {row["sample"] for row in calls} == {0, 1, 2}
    assert len({row["key"] for row in calls}) == len(calls) == 3 * ITEMS * len(TASKS)


def test_served_models_are_priced_where_nothing_says_otherwise(study, clean_environment):
    assert sum(by_model(study("silent", None).answer("random")).values()) == len(TASKS) * ITEMS
    typed = study("typed by hand", [])
    job = typed.of("random").answer_job(typed.job("random"))
    clean_environment.delenv(STUDY)
    before = len(typed.server.asked)
    job.run("test")
    assert len(typed.server.asked) - before == len(TASKS) * ITEMS


def failed(rows):
    return {row["uid"]: row["reason"] for row in rows if row["status"] == "failed"}


def test_an_item_without_a_reply_is_a_failed_row_of_its_own(study, clean_environment):
    folder = study("recorded", [])
    silent = withholds(folder)
    with pytest.raises(WorkError, match="withheld"):
        folder.generate()
    clean_environment.setenv(LAST_ATTEMPT, "1")
    before = len(folder.server.asked)
    folder.generate(["far"])
    assert len(folder.server.asked) - before == len(TASKS) * ITEMS, "the logits of a failed item are not asked for"
    rows = plain(folder, "far", "t")
    assert failed(rows) == {silent["far"]: "the reply was withheld (finish_reason content_filter)"}
    assert all((row["text"] is None) == (row["status"] == "failed") for row in rows)
    assert not failed(plain(folder, "far", "u"))
    where = paths.response_logits("far", folder.job("sure").batch, "test", 1, "s0")
    assert failed(read_rows(folder.results / where, RESPONSE_LOGITS)) == failed(rows)


@pytest.mark.slow
@pytest.mark.parametrize("priced", [[], ["mid", "far"]])
@pytest.mark.parametrize("variant", ["sure", "ask", "route", "random"])
def test_answers_that_need_a_missing_reply_fail_and_no_others(study, clean_environment, variant, priced):
    whole = study("whole", priced)
    clean_environment.setenv(LAST_ATTEMPT, "1")
    whole.fit(variant)
    whole.answer(variant)
    unbroken = {row["uid"]: row for row in whole.files(variant)[0]}
    calls = {(row["model"], row["uid"]) for row in whole.calls(variant)}
    folder = study("silent", priced)
    silent = withholds(folder)
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
    source = paths.scores("strict", paths.answers("p", folder.job(variant).batch, variant, 1, "test"))
    folder.of(variant).make(source)
    scores = read_rows(folder.results / source, SCORES)
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
        folder.generate(["far"])
    with pytest.raises(WorkError, match="withheld"):
        folder.answer("ask")
    assert not list(folder.results.rglob("test/seed1/s0.parquet"))
    assert not list(folder.results.rglob("answers/**/*.parquet"))
