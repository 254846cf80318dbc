"""What the contract of methods offers, each need by a small method that is run through the jobs on real models.

What a method is given is compared with what the checkpoints give in the hands of transformers alone.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.checkpoints import judge_checkpoints
from support.real_study import RealStudy
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification

from moco import paths
from moco.decoding.fusion import WeightedSum
from moco.engines.render import Renderer
from moco.errors import RequestError
from moco.jobs.answer import AnswerJob
from moco.jobs.fit import FitJob
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    Choice,
    FitNeeds,
    Helper,
    JointRequest,
    Method,
    Needs,
    Request,
    State,
    method,
)
from moco.models.info import ModelInfo
from moco.models.recipes import Recipe
from moco.records import ANSWERS, CALLS, COSTS, read_json, read_rows
from moco.tasks.prepare import read_questions

pytestmark = pytest.mark.usefixtures("registries", "clean_environment")

NEW_TOKENS = 4
HELPERS = {
    "writer": Helper("third", frozenset({"generate", "logits"})),
    "encoder": Helper("encoder", frozenset({"embed"})),
    "judge": Helper("judge", frozenset({"reward"})),
}
OPTIONS = ("yes", "not at all", "perhaps 7")
FUSED = WeightedSum((0.25, 0.75))
REPLIES = (("5", "a longer reply"), ("5",), ("6", "5", "7"))


def register(name, needs, fit=None, answer=None):
    """Register a method that consists of two functions."""
    silent = lambda ctx, _state: (Answer(item.uid, "", fallback="a probe") for item in ctx.questions)  # noqa: E731
    body = {
        "__doc__": "A probe.",
        "__module__": __name__,
        "needs": lambda _self, _pool: needs,
        "fit": lambda _self, ctx: fit(ctx),
        "answer": lambda _self, ctx, state: (answer or silent)(ctx, state),
    }
    method(f"control_{name}", level="control", papers=())(type(name, (Method,), body))


class Probed(RealStudy):
    """A study with two members, three helpers, a task that a reward model scores, and one probe."""

    def job(self, job, stage, needs):
        (wildcards,) = self.jobs("p", self.method)
        names = (wildcards.pool, wildcards.batch, wildcards.method, wildcards.seed)
        return job(self.results, stage.slice(wildcards), needs or stage.needs(wildcards), *names)

    @property
    def method(self):
        (name,) = self.content["methods"]
        return name

    @property
    def where(self):
        (wildcards,) = self.jobs("p", self.method)
        return wildcards.pool, wildcards.batch, wildcards.method, wildcards.seed

    def learned(self, needs=None):
        """Fit; return what was learned, with the calls and costs."""
        self.job(FitJob, self.plan.fit, needs).run()
        folder = self.results / paths.fit_folder(*self.where) / "t"
        calls, costs = (read_rows(folder / f"{name}.parquet", schema) for name, schema in FILES.items())
        return read_json(folder / "fit.json")["data"], calls, costs

    def answers(self, needs=None):
        """Answer; return the rows of answers, calls and costs."""
        self.job(AnswerJob, self.plan.answer, needs).run("test")
        files = [(paths.answers, ANSWERS), (paths.calls, CALLS), (paths.costs, COSTS)]
        return tuple(read_rows(self.results / path(*self.where, "test"), schema) for path, schema in files)

    def questions(self, split):
        return read_questions(self.results / paths.task_folder("t"), split)

    # The truth

    def renderer(self, model):
        return Renderer(ModelInfo.read(self.results / paths.model_json(model)), self.folder)

    def network(self, model, kind=AutoModelForCausalLM):
        return kind.from_pretrained(self.content["models"][model]["path"], dtype=torch.float64).eval()

    @torch.inference_mode()
    def greedy(self, prompt, weighted):
        """Return the greedy reply under a sum of networks' logits: pairs of weight, network and model's name."""
        renderer = self.renderer(weighted[0][2])
        ids = list(renderer.render(prompt, NEW_TOKENS).tokens)
        tokenizer, new = renderer._tokenizer, []
        while len(new) < NEW_TOKENS and tokenizer.eos_token_id not in new:
            read = torch.tensor([[*ids, *new]])
            new.append(int(sum(weight * net(read).logits[0, -1] for weight, net, _ in weighted).argmax()))
        return tokenizer.decode(new, skip_special_tokens=True).strip()

    @torch.inference_mode()
    def rewards(self, pairs):
        network = self.network("judge", AutoModelForSequenceClassification)
        read = self.renderer("judge").conversation
        return [float(network(torch.tensor([read(*pair, 96)])).logits[0, 0]) for pair in pairs]


FILES = {"calls": CALLS, "costs": COSTS}


@pytest.fixture
def probed(tmp_path, tiny_checkpoint, clean_environment):
    """Return a maker of a study with the one probe that is registered under a name."""
    judges = judge_checkpoints(tmp_path, 96)
    alike = {"kind": "local", "family": "llama", "tokenizer": "zoo"}
    written = {
        name: {**alike, "path": str(tiny_checkpoint("base", seed))} for seed, name in enumerate(("one", "two", "third"))
    }

    def make(name):
        content = {
            "study": "s",
            "models": {
                **written,
                "encoder": {"kind": "local", "path": str(judges["embed"]), "purpose": "embed"},
                "judge": {"kind": "local", "path": str(judges["reward"]), "purpose": "reward"},
            },
            "pools": {"p": ["one", "two"]},
            "tasks": {
                "t": {
                    "source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 3, "test": 3}},
                    "type": "reward_model",
                }
            },
            "decoding": {"default": {"max_new_tokens": NEW_TOKENS, "temperature": 0.0}},
            "methods": {f"control_{name}": {}},
            "scoring": {"reward": "judge", "max_length": 96},
        }
        study = Probed(tmp_path, content)
        study.use(clean_environment)
        return study

    return make


def helpers(*roles):
    return {role: HELPERS[role] for role in roles}


def without(needs, stage, **less):
    return replace(needs, **{stage: replace(getattr(needs, stage), **less)})


def refused(run, what):
    with pytest.raises(RequestError) as caught:
        run()
    assert f"uses {what} that its `needs` does not declare" in str(caught.value)


# Live in a fit


def test_models_of_the_pool_and_helpers_are_live_in_a_fit(probed):
    def fit(ctx):
        requests = [JointRequest(item.uid, item.prompt, "fuse") for item in ctx.questions]
        return State({"replies": [reply.text for reply in ctx.live([1, "writer"]).run(FUSED, requests)]})

    needs = Needs(fit=FitNeeds(live=True), helpers=helpers("writer"))
    register("live", needs, fit)
    study = probed("live")
    refused(lambda: study.learned(without(needs, "fit", live=False)), "live models")
    refused(lambda: study.learned(replace(needs, helpers={})), "model writer")
    found, calls, costs = study.learned()
    networks = [(share, study.network(name), name) for share, name in zip(FUSED.weights, ("two", "third"), strict=True)]
    items = study.questions("dev")
    assert found["replies"] == [study.greedy(item.prompt, networks) for item in items]
    for alone in networks:
        assert found["replies"] != [study.greedy(item.prompt, [alone]) for item in items]
    assert {(call["kind"], call["member"], call["model"]) for call in calls} == {
        ("joint", 1, "two"),
        ("joint", -1, "third"),
    }
    assert [(row["role"], row["model"], row["calls"]) for row in costs] == [
        ("member", "two", 3),
        ("helper", "third", 3),
    ]


# Helpers and models of a fit


def test_a_helper_is_asked_by_its_role_in_fits_and_answers(probed):
    def ask(ctx):
        return ctx.generate([Request("writer", item.uid, f"Think. {item.prompt}", "write") for item in ctx.questions])

    def answer(ctx, _state):
        for item, reply in zip(ctx.questions, ask(ctx), strict=True):
            yield Answer(item.uid, reply.text, models=("third",))

    needs = Needs(AnswerNeeds(generates=True), FitNeeds(generates=True), helpers=helpers("writer"))
    register("helped", needs, lambda ctx: State({"replies": [reply.text for reply in ask(ctx)]}), answer)
    study = probed("helped")
    writer = [(1.0, study.network("third"), "third")]
    found, _, _ = study.learned()
    assert found["replies"] == [study.greedy(f"Think. {item.prompt}", writer) for item in study.questions("dev")]
    rows, calls, costs = study.answers()
    assert [row["text"] for row in rows] == [
        study.greedy(f"Think. {item.prompt}", writer) for item in study.questions("test")
    ]
    assert {(call["kind"], call["member"], call["model"]) for call in calls} == {("own", -1, "third")}
    size = ModelInfo.read(study.results / paths.model_json("third")).parameters
    assert [(row["stage"], row["role"], row["model"], row["parameters"]) for row in costs] == [
        ("answer", "helper", "third", size),
        ("fit", "helper", "third", size),
    ]
    refused(lambda: study.answers(without(needs, "answer", generates=False)), "requests of its own")
    refused(lambda: study.answers(replace(needs, helpers={})), "model writer")


def test_a_model_that_the_fit_made_is_asked_in_the_answer(probed):
    def fit(ctx):
        recipe = Recipe("linear", (ctx.fingerprint(0), ctx.fingerprint(1)), (0.5, 0.5))
        return State(models={"soup": recipe})

    def answer(ctx, _state):
        replies = ctx.generate([Request("soup", item.uid, f"Now: {item.prompt}", "write") for item in ctx.questions])
        for item, reply in zip(ctx.questions, replies, strict=True):
            yield Answer(item.uid, reply.text, models=("soup",))

    needs = Needs(AnswerNeeds(generates=True), FitNeeds(), capabilities=frozenset({"weights"}), models=("soup",))
    register("making", needs, fit, answer)
    study = probed("making")
    study.learned()
    study.make_model(paths.fitted_model("p", "t", study.method, 1, "soup"))
    rows, calls, costs = study.answers()
    soup, other = study.network("one"), study.network("two")
    with torch.no_grad():
        for mine, theirs in zip(soup.parameters(), other.parameters(), strict=True):
            mine.copy_(((mine + theirs) / 2).float())
    expected = [study.greedy(f"Now: {item.prompt}", [(1.0, soup, "one")]) for item in study.questions("test")]
    assert [row["text"] for row in rows] == expected
    assert {(call["member"], call["model"]) for call in calls} == {(-1, "soup")}
    assert [(row["stage"], row["role"], row["model"]) for row in costs] == [("answer", "fitted", "soup")]
    refused(lambda: study.answers(replace(needs, models=())), "model soup")


# Scores


def test_several_replies_to_an_item_are_scored_in_their_order(probed):
    def fit(ctx):
        replies = [(item.uid, text) for item, texts in zip(ctx.questions, REPLIES, strict=True) for text in texts]
        return State({"scores": ctx.score(replies)})

    needs = Needs(fit=FitNeeds(references=True))
    register("scoring", needs, fit)
    study = probed("scoring")
    refused(lambda: study.learned(without(needs, "fit", references=False)), "references of 'dev'")
    found, _, _ = study.learned()
    items = study.questions("dev")
    expected = study.rewards(
        [(item.prompt, text) for item, texts in zip(items, REPLIES, strict=True) for text in texts]
    )
    assert len(set(found["scores"])) == 6
    assert found["scores"] == pytest.approx(expected, abs=1e-6)


def test_candidates_are_scored_in_one_round_and_leave_nothing(probed):
    def fit(ctx):
        soup = Recipe("linear", (ctx.fingerprint(0), ctx.fingerprint(1)), (0.5, 0.5))
        single = Recipe("linear", (ctx.fingerprint(1),), (1.0,))
        return State(
            {"scores": ctx.candidates([soup, 0, single]), "left": [p.name for p in ctx.workdir.glob("cand*-*")]}
        )

    needs = Needs(fit=FitNeeds(references=True, generates=True, merges=True), capabilities=frozenset({"weights"}))
    register("candidates", needs, fit)
    study = probed("candidates")
    refused(lambda: study.learned(without(needs, "fit", merges=False)), "merging")
    found, calls, costs = study.learned()
    one, two = study.network("one"), study.network("two")
    items = study.questions("dev")

    def scores(network):
        replies = [study.greedy(item.prompt, [(1.0, network, "one")]) for item in items]
        return pytest.approx(
            study.rewards([(item.prompt, text) for item, text in zip(items, replies, strict=True)]), abs=1e-6
        )

    def by_item(place):
        return [found["scores"][place][item.uid] for item in items]

    assert by_item(1) == scores(one)
    assert by_item(2) == scores(two)
    with torch.no_grad():
        for mine, theirs in zip(one.parameters(), two.parameters(), strict=True):
            mine.copy_(((mine + theirs) / 2).float())
    assert by_item(0) == scores(one)
    assert by_item(0) != by_item(1)
    assert {call["round"] for call in calls} == {0}
    assert sorted((row["role"], row["calls"], row["loads"]) for row in costs) == [
        ("candidate", 3, 1),
        ("candidate", 3, 1),
        ("member", 3, 1),
    ]
    assert found["left"] == []


# Numbers instead of replies


def test_options_are_chosen_by_their_log_probability(probed):
    def choose(ctx):
        return ctx.choose(
            [
                Choice(member, item.uid, item.prompt, OPTIONS, "pick")
                for member in (0, "writer")
                for item in ctx.questions
            ]
        )

    def answer(ctx, _state):
        values = choose(ctx)
        for place, item in enumerate(ctx.questions):
            mine = {"one": values[place], "third": values[place + len(ctx.questions)]}
            yield Answer(item.uid, "", fallback="a probe", record=mine)

    needs = Needs(AnswerNeeds(generates=True), capabilities=frozenset({"logits"}), helpers=helpers("writer"))
    register("choosing", needs, answer=answer)
    study = probed("choosing")
    rows, calls, _ = study.answers()
    items = study.questions("test")
    for name in ("one", "third"):
        network, renderer = study.network(name), study.renderer(name)
        options = [list(renderer.continuation(text)) for text in OPTIONS]
        for item, row in zip(items, rows, strict=True):
            ids = list(renderer.render(item.prompt, max(map(len, options))).tokens)
            expected = []
            for option in options:
                with torch.inference_mode():
                    logprobs = network(torch.tensor([[*ids, *option]])).logits[0].log_softmax(-1)
                expected.append(sum(float(logprobs[len(ids) - 1 + at, token]) for at, token in enumerate(option)))
            assert json.loads(row["record_json"])[name] == pytest.approx(expected, abs=1e-5)
            call = next(call for call in calls if (call["uid"], call["model"]) == (item.uid, name))
            assert (call["kind"], call["purpose"], call["prompt_tokens"]) == ("choice", "pick", len(ids))
            assert call["completion_tokens"] == sum(map(len, options))
    refused(lambda: study.answers(without(needs, "answer", generates=False)), "requests of its own")
    refused(lambda: study.answers(replace(needs, capabilities=frozenset())), "logits of one")
    refused(lambda: study.answers(replace(needs, helpers=helpers("encoder"))), "model writer")


def test_texts_have_vectors_and_replies_have_rewards(probed):
    def measure(ctx):
        pairs = [(item.prompt, "It is 5.") for item in ctx.questions]
        vectors = ctx.embed("encoder", [item.prompt for item in ctx.questions])
        assert vectors.shape[0] == len(ctx.questions)
        return {"vectors": vectors.tolist(), "rewards": ctx.reward("judge", pairs)}

    def answer(ctx, _state):
        values = measure(ctx)
        for place, item in enumerate(ctx.questions):
            record = {name: each[place] for name, each in values.items()}
            yield Answer(item.uid, "", fallback="a probe", record=record)

    needs = Needs(AnswerNeeds(generates=True), FitNeeds(generates=True), helpers=helpers("encoder", "judge"))
    register("measuring", needs, lambda ctx: State(measure(ctx)), answer)
    study = probed("measuring")
    found, _, _ = study.learned()
    rows, calls, costs = study.answers()
    encoder, renderer = study.network("encoder", AutoModel), study.renderer("encoder")

    def vectors(items):
        with torch.inference_mode():
            read = [torch.tensor([renderer.text(item.prompt, 96)]) for item in items]
            return np.array([encoder(ids).last_hidden_state[0].mean(0).numpy() for ids in read])

    given = [json.loads(row["record_json"]) for row in rows]
    for split, values in (
        ("dev", found),
        ("test", {name: [each[name] for each in given] for name in ("vectors", "rewards")}),
    ):
        items = study.questions(split)
        assert np.allclose(values["vectors"], vectors(items), atol=1e-5)
        assert values["rewards"] == pytest.approx(
            study.rewards([(item.prompt, "It is 5.") for item in items]), abs=1e-5
        )
    assert [(call["uid"], call["kind"], call["model"]) for call in calls] == [
        *[("", "embedding", "encoder")] * 3,
        *[("", "reward", "judge")] * 3,
    ]
    assert [call["prompt_tokens"] for call in calls[:3]] == [
        len(renderer.text(item.prompt, 96)) for item in study.questions("test")
    ]
    assert {(row["stage"], row["role"], row["model"], row["calls"]) for row in costs} == {
        (stage, "helper", name, 3) for stage in ("answer", "fit") for name in ("encoder", "judge")
    }
    refused(lambda: study.answers(without(needs, "answer", generates=False)), "requests of its own")
    refused(lambda: study.answers(replace(needs, helpers=helpers("judge"))), "model encoder")
    refused(lambda: study.answers(replace(needs, helpers=helpers("encoder"))), "model judge")
    wrong = {**HELPERS, "encoder": Helper("encoder", frozenset({"reward"}))}
    refused(lambda: study.answers(replace(needs, helpers=wrong)), "embed of helper encoder")


# The plan


def test_a_helper_must_offer_what_it_is_declared_for_and_no_more(probed):
    register("encoded", Needs(AnswerNeeds(generates=True, live=True), helpers=helpers("encoder")))
    assert probed("encoded").plan.matrix.pool_obstacle("p", "control_encoded") is None
    judge = {"judge": Helper("encoder", frozenset({"reward"}))}
    register("misjudged", Needs(AnswerNeeds(generates=True), helpers=judge))
    assert (
        probed("misjudged").plan.matrix.pool_obstacle("p", "control_misjudged")
        == "encoder is a local model without rewards"
    )
