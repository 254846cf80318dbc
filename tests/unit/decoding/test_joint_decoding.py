"""Several models write one reply: the same as one model where they agree, and the same in any batch and order."""

import dataclasses
import random

import pytest
import torch
from support.engines import joint_request, plain_request

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.decoding.fusion import WeightedSum, mean_of_logits
from moco.decoding.loop import Row, decode
from moco.errors import RequestError
from moco.jobs.inference import Inference
from moco.jobs.joint import JointInference
from moco.models.info import ModelInfo
from moco.store.generations import GenerationStore

GREEDY = Decoding(max_new_tokens=8, temperature=0)
HOT = Decoding(max_new_tokens=8, temperature=1.0, top_p=0.95)
QUESTIONS = [f"What is {number} + {number * 7}?" + " Think." * number for number in range(6)]


@pytest.fixture
def make(tiny_checkpoint, resolved, tmp_path):
    infos = {}
    for name, seed in (("one", 0), ("two", 1), ("again", 0)):
        folder = tiny_checkpoint("base", seed)
        infos[name] = ModelInfo(**{**vars(resolved(folder, name)), "location": str(folder)})

    def inference(store="store", **settings) -> Inference:
        engines = dict.fromkeys(infos, EngineSettings(**settings))
        return Inference(infos, engines, GenerationStore(tmp_path / store), tmp_path)

    return inference


def texts(replies):
    return [each.response.text for each in replies]


def jobs(decoding, questions=QUESTIONS):
    return [joint_request(question, decoding) for question in questions]


def test_a_model_with_itself_is_that_model(make):
    inference = make()
    alone = inference.run([plain_request("one", question, GREEDY) for question in QUESTIONS], 1)
    for names in (("one", "one"), ("one", "again")):
        fused = JointInference(inference, names).run(jobs(GREEDY), mean_of_logits(2), 1)
        assert texts(fused) == [reply.response.text for reply in alone]
        # Read once, whatever number of copies takes part.
        assert all(list(each.read) == ["one"] for each in fused)


@pytest.mark.parametrize("decoding", [GREEDY, HOT], ids=["greedy", "sampled"])
def test_two_steppers_of_a_model_draw_what_one_draws(make, decoding):
    inference = make()
    (engine,) = inference.live(["one"])
    prompts = [inference.renderer("one").render(question, 8).tokens for question in QUESTIONS]

    def tokens(copies):
        rows = [
            Row(str(place), prompt, decoding, None if decoding.greedy else 50 + place)
            for place, prompt in enumerate(prompts)
        ]
        with torch.inference_mode():
            steppers = [engine.stepper(prompts) for _ in range(copies)]
            combine = mean_of_logits(copies).combine
            return {row.key: row.tokens for row in decode(steppers, combine, rows, engine.stop_ids, 20)}

    assert tokens(2) == tokens(1)
    assert len({tuple(each) for each in tokens(1).values()}) > 3


def test_the_mean_of_logits_is_the_renormalised_geometric_mean():
    torch.manual_seed(0)
    logits = [torch.randn(5, 30, dtype=torch.float64) * 3 for _ in range(3)]
    found = torch.log_softmax(mean_of_logits(3).combine(logits), dim=-1)
    means = torch.stack([torch.log_softmax(each, dim=-1) for each in logits]).mean(dim=0)
    assert torch.allclose(found, torch.log_softmax(means, dim=-1), atol=1e-12)
    shifted = [logits[0] + 7.5, logits[1], logits[2] - 2]
    assert torch.allclose(torch.log_softmax(mean_of_logits(3).combine(shifted), dim=-1), found, atol=1e-12)


def test_only_pieces_that_all_vocabularies_have_are_combined():
    wide, narrow = torch.zeros(2, 7), torch.ones(2, 5)
    assert mean_of_logits(2).combine([wide, narrow]).shape == (2, 5)


@pytest.mark.parametrize("decoding", [GREEDY, HOT], ids=["greedy", "sampled"])
def test_the_order_of_members_changes_nothing(make, decoding):
    first = JointInference(make("a"), ["one", "two"]).run(jobs(decoding), WeightedSum((0.3, 0.7)), 1)
    second = JointInference(make("b"), ["two", "one"]).run(jobs(decoding), WeightedSum((0.7, 0.3)), 1)
    copied = JointInference(make("c"), ["two", "one", "two"]).run(jobs(decoding), WeightedSum((0.4, 0.3, 0.3)), 1)
    keys = [[each.response.key for each in replies] for replies in (first, second, copied)]
    assert keys[0] == keys[1] == keys[2]
    assert texts(first) == texts(second) == texts(copied)


def test_other_weights_are_other_replies(make):
    inference = make()
    equal = JointInference(inference, ["one", "two"]).run(jobs(GREEDY), mean_of_logits(2), 1)
    uneven = JointInference(inference, ["one", "two"]).run(jobs(GREEDY), WeightedSum((0.9, 0.1)), 1)
    assert not {each.response.key for each in equal} & {each.response.key for each in uneven}
    only_one = JointInference(inference, ["one", "two"]).run(jobs(GREEDY), WeightedSum((1.0, 0.0)), 1)
    alone = inference.run([plain_request("one", question, GREEDY) for question in QUESTIONS], 1)
    assert texts(only_one) == [reply.response.text for reply in alone]


@pytest.mark.parametrize("decoding", [GREEDY, HOT], ids=["greedy", "sampled"])
def test_replies_do_not_depend_on_batches_or_company(make, decoding):
    alone = JointInference(make("a", batch_rows=1), ["one", "two"]).run(jobs(decoding), mean_of_logits(2), 1)
    assert len(set(texts(alone))) > 3
    shuffled = random.Random(0).sample(QUESTIONS, len(QUESTIONS))
    together = JointInference(make("b"), ["one", "two"]).run(jobs(decoding, shuffled), mean_of_logits(2), 1)
    by_question = dict(zip(shuffled, texts(together), strict=True))
    assert [by_question[question] for question in QUESTIONS] == texts(alone)


def test_the_cache_changes_nothing(make):
    inference = make()
    engines = inference.live(["one", "two"])
    prompts = [inference.renderer("one").render(question, 8).tokens for question in QUESTIONS]
    rows = [Row(str(place), prompt, GREEDY, None) for place, prompt in enumerate(prompts)]
    stop = engines[0].stop_ids
    with torch.inference_mode():
        steppers = [engine.stepper(prompts) for engine in engines]
        found = {row.key: row for row in decode(steppers, mean_of_logits(2).combine, rows, stop, 20)}
        for place, prompt in enumerate(prompts):
            tokens: list[int] = []
            logprobs: list[float] = []
            while len(tokens) < 8 and (not tokens or tokens[-1] not in stop):
                read = torch.tensor([[*prompt, *tokens]])
                logits = torch.stack([engine.model(read).logits[0, -1] for engine in engines]).mean(dim=0)
                tokens.append(int(logits.argmax()))
                logprobs.append(float(torch.log_softmax(logits, dim=-1)[tokens[-1]]))
            assert found[str(place)].tokens == tokens
            assert found[str(place)].logprobs == pytest.approx(logprobs, abs=1e-6)


def test_a_second_run_loads_nothing(make):
    first = JointInference(make(), ["one", "two"]).run(jobs(HOT), mean_of_logits(2), 1)
    inference = make(batch_rows=2)
    again = JointInference(inference, ["one", "two"]).run(jobs(HOT), mean_of_logits(2), 1)
    assert inference.resident.loads == 0
    assert all(each.cached for each in again)
    assert [each.response for each in again] == [each.response for each in first]


def test_models_of_a_joint_decode_stay_in_memory_together(make):
    inference = make(resident_gb=0)
    JointInference(inference, ["one", "two"]).run(jobs(GREEDY), mean_of_logits(2), 1)
    assert inference.resident.loads == 2


def test_different_vocabularies_are_refused_before_weights_load(make):
    inference = make()
    info = dataclasses.replace(inference.info("two"), name="other", tokenizer="another")
    inference.add(info, EngineSettings())
    with pytest.raises(RequestError, match="one and other have different vocabularies"):
        JointInference(inference, ["one", "other"]).run(jobs(GREEDY), mean_of_logits(2), 1)
    assert inference.resident.loads == 0
