"""Requests through the store: nothing twice, order kept, every model loaded once."""

from dataclasses import replace

import pytest
from support.engines import interrupted, plain_request
from support.shards import brief, reply

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.engines.render import Rendered
from moco.errors import RequestError, WorkError
from moco.jobs.inference import Inference, make_reply
from moco.methods.base import Choice
from moco.methods.calls import Calls
from moco.models.info import ModelInfo
from moco.prompts import blocks
from moco.store.generations import GenerationStore

HOT = Decoding(max_new_tokens=6, temperature=1.0, top_p=1.0)
GREEDY = Decoding(max_new_tokens=6, temperature=0)
QUESTIONS = [f"What is {number} + {number * 7}?" for number in range(5)]


@pytest.fixture
def make(tiny_checkpoint, resolved, tmp_path):
    infos = {}
    for name, seed in (("one", 0), ("two", 1)):
        folder = tiny_checkpoint("base", seed)
        infos[name] = ModelInfo(**{**vars(resolved(folder, name)), "location": str(folder)})

    def inference(**settings) -> Inference:
        engines = dict.fromkeys(infos, EngineSettings(**settings))
        return Inference(infos, engines, GenerationStore(tmp_path / "store"), tmp_path)

    return inference


def counted(inference: Inference, model: str) -> list:
    """Note every request that reaches an engine."""
    seen: list = []
    engine = inference.resident.engine(inference.info(model), inference.settings(model))
    real = engine.generate

    def generate(requests):
        seen.extend(requests)
        yield from real(requests)

    engine.generate = generate
    return seen


def test_a_second_run_loads_no_model_and_says_the_same(make):
    requests = [plain_request("one", question, HOT) for question in QUESTIONS]
    first = make()
    replies = first.run(requests, 1)
    assert first.resident.loads == 1
    assert not any(reply.cached for reply in replies)
    second = make(batch_rows=2, flush_seconds=1)
    again = second.run(requests, 1)
    assert second.resident.loads == 0
    assert all(reply.cached for reply in again)
    assert [reply.response for reply in again] == [reply.response for reply in replies]
    assert [reply.seconds for reply in again] == [reply.seconds for reply in replies]


def test_only_what_is_missing_is_generated(make):
    make().run([plain_request("one", question, HOT) for question in QUESTIONS[:3]], 1)
    second = make()
    seen = counted(second, "one")
    replies = second.run([plain_request("one", question, HOT) for question in QUESTIONS], 1)
    assert len(seen) == 2
    assert [reply.cached for reply in replies] == [True, True, True, False, False]


def test_equal_requests_are_generated_once(make):
    inference = make()
    seen = counted(inference, "one")
    requests = [plain_request("one", QUESTIONS[0], GREEDY, sample) for sample in (0, 1)]
    replies = inference.run([*requests, plain_request("one", QUESTIONS[1], GREEDY)], 1)
    assert len(seen) == 2
    assert len({reply.response.key for reply in replies}) == 2
    assert replies[0] == replies[1]
    other = inference.run(requests, 2)
    assert len(seen) == 2
    assert [reply.response for reply in other] == [reply.response for reply in replies[:2]]


def test_samples_and_seeds_are_different_requests(make):
    inference = make()
    requests = [plain_request("one", QUESTIONS[0], HOT, sample) for sample in (0, 1)]
    replies = [reply for seed in (1, 2) for reply in inference.run(requests, seed)]
    assert len({reply.response.key for reply in replies}) == 4
    assert len({reply.response.text for reply in replies}) > 1


def test_replies_come_in_the_order_of_the_requests_and_models_are_loaded_once(make):
    inference = make(resident_gb=0)
    requests = [plain_request(model, question, HOT) for question in QUESTIONS for model in ("one", "two", "one")]
    replies = inference.run(requests, 1)
    assert [load.model for load in inference.resident.loaded] == ["one", "two"]
    assert all(load.seconds > 0 for load in inference.resident.loaded)
    alone = {}
    for request in dict.fromkeys(requests):
        alone[request] = make().run([request], 1)[0].response
    assert [reply.response for reply in replies] == [alone[request] for request in requests]
    assert replies[0].response.key != replies[1].response.key


def test_models_stay_loaded_while_memory_allows(make):
    roomy, narrow = make(), make(resident_gb=0)
    for place, question in enumerate(QUESTIONS):
        for model in ("one", "two"):
            roomy.run([plain_request(model, question, GREEDY)], 1)
            narrow.run([plain_request(model, question + "!", GREEDY)], place)
    assert roomy.resident.loads == 2
    assert narrow.resident.loads == 10
    roomy.resident.close()
    roomy.run([plain_request("one", "new", GREEDY)], 1)
    assert roomy.resident.loads == 3


def test_interrupted_work_is_in_the_store(make):
    inference = make(batch_rows=1)
    engine = inference.resident.engine(inference.info("one"), inference.settings("one"))
    engine.generate = interrupted(engine.generate, after=3)
    requests = [plain_request("one", question, HOT) for question in QUESTIONS]
    with pytest.raises(KeyboardInterrupt):
        inference.run(requests, 1)
    assert sum(reply.cached for reply in make().run(requests, 1)) == 3


def test_a_reply_that_never_comes_is_an_error(make):
    inference = make()
    engine = inference.resident.engine(inference.info("one"), inference.settings("one"))
    engine.generate = lambda _requests: iter(())
    with pytest.raises(WorkError, match="one: 2 requests are missing after the work; run again"):
        inference.run([plain_request("one", question, HOT) for question in QUESTIONS[:2]], 1)


def test_an_unknown_model_is_named_with_a_suggestion(make):
    with pytest.raises(RequestError, match=r"model 'onne' is not part of this job; did you mean one\?"):
        make().run([plain_request("onne", "x", HOT)], 1)


def test_a_model_may_come_and_go(make):
    inference = make()
    info = ModelInfo(**{**vars(inference.info("one")), "name": "candidate"})
    inference.add(info, EngineSettings())
    key = inference.run([plain_request("candidate", "x", HOT)], 1)[0].response.key
    assert inference.run([plain_request("one", "x", HOT)], 1)[0].response.key == key
    inference.remove("candidate")
    # What a search tried is gone when its cost is counted.
    assert inference.parameters["candidate"] == info.parameters
    with pytest.raises(RequestError):
        inference.run([plain_request("candidate", "x", HOT)], 1)


def test_a_response_says_what_it_cost(make):
    reply = make().run([plain_request("one", QUESTIONS[0], HOT)], 1)[0]
    response = reply.response
    assert response.completion_tokens in range(1, 7)
    assert response.finish in ("stop", "length")
    assert response.prompt_tokens > 5
    assert response.mean_logprob < 0
    assert (response.thought, response.prompt_flag) == ("none", "ok")
    assert reply.seconds > 0


def test_texts_are_scored_once_and_stored(make):
    choices = [Choice("one", "item", question, ("A", "forty two", ""), "options") for question in QUESTIONS[:3]]
    first = make()
    scored = [one for options in first.score_texts(choices) for one in options]
    assert first.resident.loads == 1
    assert [len(each.stored.logprobs) for each in scored] == [len(each.stored.tokens) for each in scored]
    assert [each.stored.text for each in scored] == ["A", "forty two", ""] * 3
    assert not any(each.cached for each in scored)
    second = make(batch_rows=1)
    turned = [replace(choice, options=choice.options[::-1]) for choice in choices[::-1]]
    again = [one for options in second.score_texts(turned) for one in options]
    assert second.resident.loads == 0
    assert all(each.cached for each in again)
    assert [each.stored for each in again] == [each.stored for each in scored[::-1]]


def test_texts_after_a_prompt_that_is_too_long_follow_the_same_tokens(make):
    long = "word " * 2000
    # In one choice or in several.
    choices = [Choice("one", "item", long, (text,), "options") for text in ("A", "a much longer answer than that", "B")]
    scored = [one for options in make().score_texts(choices) for one in options]
    assert {each.prompt_flag for each in scored} == {"truncated"}
    assert len({each.stored.prompt_tokens for each in scored}) == 1


def test_a_text_is_not_taken_for_a_reply(make):
    inference = make()
    (reply,) = inference.run([plain_request("one", QUESTIONS[0], GREEDY)], 1)
    [[scored]] = inference.score_texts([Choice("one", "item", QUESTIONS[0], (reply.response.text,), "options")])
    assert scored.stored.key != reply.response.key


def test_a_mean_is_the_same_whatever_way_a_version_of_python_adds():
    row = replace(brief(reply("k", tokens=3)), logprobs=[1e16, 1.0, -1e16])
    assert make_reply(row, Rendered((), "ok", False, ""), cached=False).response.mean_logprob == 0.333333


def test_a_shortened_prompt_is_sent_keyed_and_told_as_it_is(make):
    long = blocks.compose("Improve.", QUESTIONS[0], blocks.candidate(1, "word " * 4000), "Write a number.")
    [reply] = make().run([plain_request("one", long, HOT)], 1)
    response = reply.response
    assert response.prompt_flag == "shortened"
    assert response.sent.startswith(f"Improve.\n\n{QUESTIONS[0]}\n\n[answer 1]\nword word")
    assert response.sent.endswith("word [cut]\n[end]\n\nWrite a number.")
    assert response.prompt_cut_tokens > 0
    # What was sent is a prompt like any other.
    [same] = make().run([plain_request("one", response.sent, HOT)], 1)
    assert same.cached
    assert same.response == replace(response, prompt_flag="ok", prompt_cut_tokens=0, sent=None)
    calls = Calls()
    calls.ask("u", response, "own", "refine", 0, "one", 0, long)
    calls.ask("u", same.response, "own", "refine", 0, "one", 0, "short")
    assert [row["prompt"] for row in calls.rows] == [response.sent, "short"]
    assert [row["prompt_cut_tokens"] for row in calls.rows] == [response.prompt_cut_tokens, 0]
    [[scored]] = make().score_texts([Choice("one", "item", long, ("A",), "options")])
    assert (scored.prompt_flag, scored.prompt_cut_tokens > 0) == ("shortened", True)
    assert scored.sent.endswith("word [cut]\n[end]\n\nWrite a number.")
