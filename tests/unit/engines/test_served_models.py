"""Served models against a real server on this machine: one that answers, fails, stalls and returns malformed replies."""

import logging
import random
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
from support.engines import interrupted, plain_request
from support.llm_server import Answer, LanguageServer, reply
from support.study_files import use_study

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import ServerModel
from moco.engines.served.client import _retry_after
from moco.errors import RequestError, WorkError
from moco.jobs.inference import Inference
from moco.models.resolve import resolve
from moco.prompts import blocks
from moco.store.generations import GenerationStore, Stored

HOT = Decoding(max_new_tokens=6, temperature=0.5, top_p=0.8)
GREEDY = Decoding(max_new_tokens=6, temperature=0)
QUESTIONS = [f"What is {number} + {number * 7}?" for number in range(12)]
KEY = "sk-very-secret-0123456789"
QUICK = {"backoff_seconds": 0.01, "timeout_seconds": 5, "retries": 2}


@pytest.fixture
def serve(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    servers = []

    def start(answer=None) -> LanguageServer:
        servers.append(LanguageServer(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def asking(tmp_path, monkeypatch):
    """Return a maker of inference with the model `far`, whose requests are made as given."""

    def make(server: LanguageServer | str, requests=None, top_logprobs=20, **declared) -> Inference:
        endpoint = server if isinstance(server, str) else server.endpoint
        entry = ServerModel(kind="server", endpoint=endpoint, name="wise-1", date="2026-01-31", **declared)
        far = {**entry.model_dump(), "requests": {**QUICK, **(requests or {})}}
        use_study(monkeypatch, tmp_path, models={"far": far})
        settings = EngineSettings(top_logprobs=top_logprobs, flush_seconds=0.001)
        info = resolve("far", entry, settings, tmp_path)
        return Inference({"far": info}, {"far": settings}, GenerationStore(tmp_path / "store"), tmp_path)

    return make


def jobs(questions=QUESTIONS, decoding=HOT, **more):
    return [plain_request("far", question, decoding, **more) for question in questions]


def texts(replies):
    return [each.response.text for each in replies]


def test_a_request_says_all_settings_and_the_reply_is_read(serve, asking):
    server = serve()
    [one] = asking(server).run(jobs(QUESTIONS[:1]), 1)
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.authorization is None
    assert asked.body.pop("seed") in range(2**31)
    assert asked.body == {
        "model": "wise-1",
        "messages": [{"role": "user", "content": QUESTIONS[0]}],
        "max_tokens": 6,
        "temperature": 0.5,
        "top_p": 0.8,
    }
    assert one.response.text.startswith("\\box{")
    assert (one.response.finish, one.response.prompt_flag) == ("stop", "ok")
    assert (one.response.prompt_tokens, one.response.completion_tokens) == (5, 3)
    assert one.response.mean_logprob is None
    assert one.seconds > 0


def test_settings_that_not_every_server_knows_are_sent_where_they_are_on(serve, asking):
    server = serve()
    odd = Decoding(max_new_tokens=3, temperature=1, top_p=1, top_k=5, repetition_penalty=1.2)
    declared = {"limit_field": "max_completion_tokens", "send_seed": False, "extra": {"reasoning_effort": "low"}}
    asking(server, **declared).run(jobs(QUESTIONS[:1], odd), 1)
    body = server.asked[0].body
    assert (body["max_completion_tokens"], body["top_k"], body["repetition_penalty"]) == (3, 5, 1.2)
    assert body["reasoning_effort"] == "low"
    assert not {"max_tokens", "seed"} & body.keys()


def test_greedy_requests_have_no_seed_and_samples_have_seeds_of_their_own(serve, asking):
    server = serve()
    inference = asking(server)
    inference.run([*jobs(QUESTIONS[:1], GREEDY), *jobs(QUESTIONS[:1], GREEDY, sample=1)], 1)
    assert len(server.asked) == 1
    assert server.asked[0].body["temperature"] == 0
    assert not {"seed", "top_p"} & server.asked[0].body.keys()
    inference.run([job for sample in range(3) for job in jobs(QUESTIONS[:1], sample=sample)], 1)
    assert len({each.body["seed"] for each in server.asked[1:]}) == 3


def test_a_text_is_continued_where_the_endpoint_has_no_messages(serve, asking):
    server = serve()
    [one] = asking(server, api="completions").run(jobs(QUESTIONS[:1]), 1)
    assert server.asked[0].path == "/v1/completions"
    assert server.asked[0].body["prompt"] == QUESTIONS[0]
    assert one.response.text.startswith("\\box{")


def test_order_and_number_of_requests_under_way_change_nothing(serve, asking, tmp_path):
    server = serve(lambda asked, _number: Answer(reply(asked), delay=0.03 * random.random() + 0.02))
    alone = asking(server, {"concurrency": 1})
    expected = texts(alone.run(jobs(), 1))
    assert server.most == 1
    mixed = list(range(len(QUESTIONS)))
    random.Random(3).shuffle(mixed)
    many = asking(server, {"concurrency": 4})
    many.store = GenerationStore(tmp_path / "other")
    found = texts(many.run([jobs()[place] for place in mixed], 1))
    assert found == [expected[place] for place in mixed]
    assert len(set(expected)) == len(QUESTIONS)
    assert server.most == 4
    assert len(server.asked) == 2 * len(QUESTIONS)


def test_attempts_that_fail_are_repeated(serve, asking):
    answers = [Answer("out of order", 500), Answer("<html>", 200), None]
    server = serve(lambda asked, number: answers[number] or Answer(reply(asked)))
    replies = asking(server, {"concurrency": 3}).run(jobs(QUESTIONS[:4]), 1)
    assert len(server.asked) == 12
    assert all(text.startswith("\\box{") for text in texts(replies))


def test_a_server_that_asks_for_patience_gets_it_from_all_requests(serve, asking):
    slow = Answer("slow down", 429, {"Retry-After": "1"})
    server = serve(lambda asked, number: slow if asked.prompt == QUESTIONS[0] and not number else Answer(reply(asked)))
    asking(server, {"concurrency": 1}).run(jobs(QUESTIONS[:2]), 1)
    first, second, third = server.asked
    assert first.prompt == second.prompt == QUESTIONS[0]
    assert 1.0 <= second.time - first.time < 2.5
    assert third.time >= second.time


def test_the_wait_that_a_server_asks_for_is_a_number_or_a_date():
    assert _retry_after("2.5") == 2.5
    assert _retry_after(None) is None
    assert _retry_after("soon") is None
    assert 55 < _retry_after(format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)) <= 60
    assert _retry_after(format_datetime(datetime.now(UTC) - timedelta(minutes=1), usegmt=True)) == 0


def test_no_more_requests_start_per_minute_than_allowed(serve, asking):
    server = serve()
    asking(server, {"per_minute": 600, "concurrency": 8}).run(jobs(QUESTIONS[:6]), 1)
    starts = [each.time for each in server.asked]
    assert starts[-1] - starts[0] >= 0.45


@pytest.mark.parametrize("slow", [{"delay": 3.0}, {"drip": 0.1}], ids=["stalls", "drips"])
def test_a_server_that_takes_too_long_is_left(serve, asking, slow):
    server = serve(lambda asked, _number: Answer(reply(asked), **slow))
    inference = asking(server, {"timeout_seconds": 0.4, "retries": 1})
    with pytest.raises(WorkError, match=r"models\.far: no reply in 2 attempts: time-out after 0\.4 s \(1 of 1 not"):
        inference.run(jobs(QUESTIONS[:1]), 1)
    assert len(server.asked) == 2


def without(asked, *path):
    """Return a regular answer in which one part is missing."""
    whole = reply(asked)
    part = whole
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return whole


MALFORMED = {
    "no JSON": lambda _asked: "Bad gateway",
    "no choices": lambda _asked: [1, 2],
    "choices are empty": lambda asked: reply(asked) | {"choices": []},
    "choice is no dict": lambda asked: reply(asked) | {"choices": ["text"]},
    "no message": lambda asked: without(asked, "choices", 0, "message"),
    "message has no content": lambda asked: reply(asked, message={"role": "assistant"}),
    "content is no text": lambda asked: reply(asked, message={"content": 7}),
    "content has a part without text": lambda asked: reply(asked, message={"content": [{"type": "image_url"}]}),
    "no finish_reason": lambda asked: without(asked, "choices", 0, "finish_reason"),
    "no usage": lambda asked: without(asked, "usage"),
    "usage has no completion_tokens": lambda asked: without(asked, "usage", "completion_tokens"),
}


@pytest.mark.parametrize("reason", MALFORMED)
def test_a_malformed_reply_is_a_failure_and_no_empty_text(serve, asking, reason):
    server = serve(lambda asked, _number: Answer(MALFORMED[reason](asked)))
    inference = asking(server)
    with pytest.raises(WorkError) as caught:
        inference.run(jobs(QUESTIONS[:1]), 1)
    assert f"no reply in 3 attempts: malformed reply ({reason})" in str(caught.value)
    assert len(server.asked) == 3
    assert not list(inference.store.root.rglob("*.parquet"))


def test_nesting_without_end_is_malformed_too(serve, asking):
    server = serve(lambda _asked, _number: Answer("[" * 200_000))
    with pytest.raises(WorkError, match=r"malformed reply \(no JSON\)"):
        asking(server, {"retries": 0}).run(jobs(QUESTIONS[:1]), 1)


def test_half_a_character_is_replaced_and_stored(serve, asking):
    server = serve(lambda asked, _number: Answer(reply(asked, message={"content": "a\ud83d \U0001f600é"})))
    inference = asking(server)
    inference.run(jobs(QUESTIONS[:1]), 1)
    [one] = inference.run(jobs(QUESTIONS[:1]), 1)
    assert one.cached
    assert one.response.text == "a\ufffd \U0001f600é"


def test_a_withheld_reply_is_a_failure_that_no_further_attempt_mends(serve, asking):
    server = serve(lambda asked, _number: Answer(reply(asked, finish_reason="content_filter")))
    with pytest.raises(WorkError, match=r"withheld \(finish_reason content_filter\)"):
        asking(server).run(jobs(QUESTIONS[:1]), 1)
    assert len(server.asked) == 1


def test_refusals_and_thoughts_given_apart_are_parts_of_the_reply(serve, asking):
    messages = {
        QUESTIONS[0]: {"content": None, "refusal": "I cannot."},
        QUESTIONS[1]: {"content": "4", "reasoning_content": "2 and 2"},
        QUESTIONS[2]: {"content": None, "reasoning_content": "2 and"},
    }
    ends = {QUESTIONS[2]: "length"}
    server = serve(
        lambda asked, _number: Answer(
            reply(asked, message=messages[asked.prompt], finish_reason=ends.get(asked.prompt, "stop"))
        )
    )
    found = [each.response for each in asking(server).run(jobs(QUESTIONS[:3]), 1)]
    assert [each.text for each in found] == ["I cannot.", "4", ""]
    assert [each.thought for each in found] == ["none", "closed", "unclosed"]
    assert [each.finish for each in found] == ["stop", "stop", "length"]


PART = {"type": "text", "text": "The answer "}
EMPTY_AND_PARTS = {
    "nothing": ({"content": None}, "stop", ("", "none", "stop")),
    "nothing, cut": ({"content": None}, "length", ("", "none", "length")),
    "a thought alone": ({"content": None, "reasoning_content": "2 and 2"}, "stop", ("", "closed", "stop")),
    "a thought alone, by its other name": ({"content": None, "reasoning": "2"}, "stop", ("", "closed", "stop")),
    "a cut thought, empty content": ({"content": "", "reasoning_content": "2"}, "length", ("", "unclosed", "length")),
    "a tool is called": ({"content": None, "tool_calls": [{"id": "1"}]}, "tool_calls", ("", "none", "stop")),
    "a tool is called, no content": ({"tool_calls": [{"id": "1"}]}, "tool_calls", ("", "none", "stop")),
    "parts": ({"content": [PART, "is ", {"type": "text", "text": "4"}]}, "stop", ("The answer is 4", "none", "stop")),
    "a thought as a part": (
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]}, PART]},
        "stop",
        ("The answer", "closed", "stop"),
    ),
    "no parts": ({"content": []}, "stop", ("", "none", "stop")),
}


@pytest.mark.parametrize("form", EMPTY_AND_PARTS)
def test_a_reply_without_text_is_empty_and_one_in_parts_is_joined(serve, asking, form):
    message, reason, expected = EMPTY_AND_PARTS[form]
    server = serve(lambda asked, _number: Answer(reply(asked, message=message, finish_reason=reason)))
    [one] = asking(server).run(jobs(QUESTIONS[:1]), 1)
    assert (one.response.text, one.response.thought, one.response.finish) == expected
    assert len(server.asked) == 1


def test_a_server_that_nobody_runs_is_named(serve, asking):
    server = serve()
    server.close()
    inference = asking(server, {"retries": 1})
    with pytest.raises(
        WorkError, match=r"no reply in 2 attempts: cannot be reached at http://127\.0\.0\.1:\d+/v1/chat"
    ):
        inference.run(jobs(QUESTIONS[:1]), 1)


def test_one_request_without_a_reply_keeps_no_other_from_its_own_and_is_all_that_is_asked_again(serve, asking):
    bad = QUESTIONS[5]
    server = serve(lambda asked, _number: Answer("broken", 400) if asked.prompt == bad else Answer(reply(asked)))
    inference = asking(server)
    with pytest.raises(WorkError, match=r"HTTP 400: 'broken' \(1 of 12 not answered\)"):
        inference.run(jobs(), 1)
    assert sorted(server.prompts()) == sorted(QUESTIONS)
    server.asked.clear()
    server.answer = lambda asked, _number: Answer(reply(asked))
    replies = asking(server).run(jobs(), 1)
    assert server.prompts() == [bad]
    assert [each.cached for each in replies] == [question != bad for question in QUESTIONS]
    assert asking(server).run(jobs(), 1) == [type(each)(each.response, True, each.seconds) for each in replies]
    assert server.prompts() == [bad]


def test_a_server_that_answers_nothing_is_not_asked_everything(serve, asking):
    server = serve(lambda _asked, _number: Answer("down", 503))
    with pytest.raises(WorkError, match=r"HTTP 503: 'down' \(12 of 12 not answered\)"):
        asking(server, {"retries": 0, "concurrency": 1}).run(jobs(), 1)
    assert len(server.asked) == 3


def test_interrupted_work_is_in_the_store(serve, asking):
    server = serve()
    inference = asking(server, {"concurrency": 1})
    served = inference.resident.served(inference.info("far"), inference.settings("far"))
    served.generate = interrupted(served.generate, after=3)
    with pytest.raises(KeyboardInterrupt):
        inference.run(jobs(), 1)
    server.asked.clear()
    replies = asking(server).run(jobs(), 1)
    assert [each.cached for each in replies] == [True] * 3 + [False] * 9
    assert set(server.prompts()) == set(QUESTIONS[3:])


def test_the_key_is_sent_and_written_nowhere(serve, asking, monkeypatch, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("WISE_KEY", KEY)
    quoted = {"error": {"message": f"Incorrect API key provided: {KEY}"}}
    server = serve(lambda asked, number: Answer(quoted, 500) if number == 0 else Answer(reply(asked)))
    inference = asking(server, {"key_env": "WISE_KEY"})
    inference.run(jobs(QUESTIONS[:3]), 1)
    assert {each.authorization for each in server.asked} == {f"Bearer {KEY}"}
    inference.info("far").write(tmp_path / "model.json")
    server.answer = lambda _asked, _number: Answer(quoted, 401)
    asked = len(server.asked)
    with pytest.raises(WorkError) as caught:
        asking(server, {"key_env": "WISE_KEY", "concurrency": 1}).run(jobs(QUESTIONS[3:]), 1)
    assert len(server.asked) == asked + 1
    assert "HTTP 401" in str(caught.value)
    assert "requests.key_env" in str(caught.value)
    assert "provided: [key]" in str(caught.value)
    server.answer = lambda asked, _number: Answer(reply(asked, message={"content": f"Your key is {KEY}"}))
    assert texts(asking(server, {"key_env": "WISE_KEY"}).run(jobs(["What is my key?"]), 1)) == ["Your key is [key]"]
    output = capfd.readouterr()
    written = [caplog.text, output.out, output.err, repr(caught.value), repr(inference.info("far"))]
    partition = inference.store.partition(inference.info("far").fingerprint)
    keys = [key for path in partition.shards() for key in pq.read_table(path)["key"].to_pylist()]
    rows = partition.find(keys, Stored)
    assert len(rows) == 4
    assert all(isinstance(row, Stored) for row in rows.values())
    written += [repr(row) for row in rows.values()]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    assert not any(KEY in each for each in written)
    assert not any(KEY.encode() in each for each in files)


@pytest.mark.parametrize("value", [None, "", "two words", "Bücher-und-mehr"])
def test_a_key_that_is_missing_or_none_is_named_by_its_variable_only(serve, asking, monkeypatch, value):
    server = serve()
    if value is None:
        monkeypatch.delenv("WISE_KEY", raising=False)
    else:
        monkeypatch.setenv("WISE_KEY", value)
    with pytest.raises(RequestError, match=r"models\.far: environment variable WISE_KEY") as caught:
        asking(server, {"key_env": "WISE_KEY"}).run(jobs(QUESTIONS[:1]), 1)
    assert not value or value not in str(caught.value)
    assert not server.asked


def test_a_server_that_reports_another_state_than_declared_is_refused(serve, asking):
    server = serve()
    assert len(asking(server, reported="fp_1").run(jobs(QUESTIONS[:1]), 1)) == 1
    other = asking(server, {"concurrency": 1}, reported="fp_0")
    with pytest.raises(WorkError, match=r"models\.far\.reported: the server reports 'fp_1', the study asks for 'fp_0'"):
        other.run(jobs(), 1)
    assert len(server.asked) == 2


def test_what_a_server_reports_is_stored_with_the_reply(serve, asking):
    inference = asking(serve())
    [one] = inference.run(jobs(QUESTIONS[:1]), 1)
    [row] = inference.store.partition(inference.info("far").fingerprint).find([one.response.key]).values()
    assert (row.reported, row.written, row.tokens) == ("fp_1", 3, [])


CHAT_LOGPROBS = {
    "content": [
        {"token": "a", "logprob": -0.25, "top_logprobs": [{"logprob": -0.25}, {"logprob": -2.0}, {"logprob": -3.0}]},
        {"token": "b", "logprob": -1.5, "top_logprobs": [{"logprob": -0.5}, {"logprob": -1.5}]},
    ]
}
TEXT_LOGPROBS = {
    "tokens": ["a", "b"],
    "token_logprobs": [-0.25, -1.5],
    "top_logprobs": [{"a": -0.25, "x": -2.0}, {"b": -1.5, "y": -0.5}],
}


@pytest.mark.parametrize(
    ("api", "given", "wanted"),
    [
        ("chat", CHAT_LOGPROBS, {"logprobs": True, "top_logprobs": 20}),
        ("completions", TEXT_LOGPROBS, {"logprobs": 5}),
    ],
)
def test_log_probabilities_are_read_where_they_are_offered(serve, asking, api, given, wanted):
    server = serve(lambda asked, _number: Answer(reply(asked, logprobs=given)))
    inference = asking(server, api=api, logprobs=True, top_logprobs=50)
    assert "top_logits" in inference.info("far").capabilities
    [one] = inference.run(jobs(QUESTIONS[:1]), 1)
    assert wanted.items() <= server.asked[0].body.items()
    assert one.response.mean_logprob == -0.875
    assert one.response.completion_tokens == 3
    [row] = inference.store.partition(inference.info("far").fingerprint).find([one.response.key], Stored).values()
    assert row.tokens == [-1, -1]
    assert row.top_k == 2
    assert row.top_ids == [-1] * 4
    assert row.top_logprobs == [-0.25, -2.0, -0.5, -1.5]
    assert row.tail == [0.085864, 0.170339]


@pytest.mark.parametrize("given", [None, {"content": [{"token": "a"}]}, {"content": [{"logprob": None}]}])
def test_log_probabilities_that_are_missing_though_declared_are_malformed(serve, asking, given):
    server = serve(lambda asked, _number: Answer(reply(asked, logprobs=given)))
    with pytest.raises(WorkError, match=r"malformed reply \(logprobs "):
        asking(server, {"retries": 0}, logprobs=True).run(jobs(QUESTIONS[:1]), 1)


def test_a_served_model_is_never_loaded(serve, asking):
    inference = asking(serve())
    inference.run(jobs(), 1)
    assert inference.resident.loads == 0


def test_jobs_take_turns_and_ask_nothing_twice(serve, asking):
    server = serve(lambda asked, _number: Answer(reply(asked), delay=0.02))
    limits = {"concurrency": 2, "per_minute": 6000}
    asks = [asking(server, limits) for _ in range(3)]
    found: dict[int, list[str]] = {}

    def ask(place: int) -> None:
        found[place] = texts(asks[place].run(jobs(QUESTIONS[: 8 + place]), 1))

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(server.prompts()) == sorted(QUESTIONS[:10])
    assert server.most <= 2
    assert [found[place] for place in range(3)] == [found[2][: 8 + place] for place in range(3)]


def test_the_next_job_keeps_the_pace_of_the_last(serve, asking):
    server = serve()
    for question in QUESTIONS[:4]:
        asking(server, {"per_minute": 300}).run(jobs([question]), 1)
    times = [each.time for each in server.asked]
    assert all(later - earlier > 0.15 for earlier, later in pairwise(times))


def test_recorded_requests_fail_alone_with_their_own_reasons(serve, asking):
    refused = {QUESTIONS[2]: 400, QUESTIONS[7]: 500}

    def answer(asked, _number):
        status = refused.get(asked.prompt)
        return Answer({"error": f"no {status}"}, status=status) if status else Answer(reply(asked))

    server = serve(answer)
    inference = asking(server, {"concurrency": 2, "retries": 1})
    replies = inference.run(jobs(), 1, record=True)
    reasons = {job.prompt: each.failed for job, each in zip(jobs(), replies, strict=True) if each.failed}
    assert reasons.keys() == refused.keys()
    assert reasons[QUESTIONS[2]].startswith("HTTP 400: ")
    assert reasons[QUESTIONS[7]].startswith("no reply in 2 attempts: HTTP 500: ")
    assert all(each.response.text for each in replies if not each.failed)
    refused.clear()
    before = len(server.asked)
    assert not any(each.failed for each in inference.run(jobs(), 1, record=True))
    assert sorted(server.prompts()[before:]) == sorted([QUESTIONS[2], QUESTIONS[7]])


def test_a_server_that_is_gone_is_not_asked_for_each_item_that_is_recorded(serve, asking):
    server = serve(lambda _asked, _number: Answer("gone", status=503))
    replies = asking(server, {"concurrency": 1, "retries": 0}).run(jobs(), 1, record=True)
    assert len(server.asked) == 3
    assert all(each.failed.startswith("no reply: HTTP 503") for each in replies)


def test_a_shortened_prompt_is_what_the_server_gets(serve, asking):
    long = blocks.compose("Improve.", blocks.candidate(1, "word " * 4000), "Write a number.")
    server = serve()
    [one] = asking(server, context=1000).run(jobs([long]), 1)
    sent = server.asked[0].body["messages"][0]["content"]
    assert one.response.sent == sent
    assert (one.response.prompt_flag, len(sent) // 4 + HOT.max_new_tokens in range(980, 1001)) == ("shortened", True)
    assert sent.startswith("Improve.\n\n[answer 1]\nword word")
    assert sent.endswith(" [cut]\n[end]\n\nWrite a number.")
    [whole] = asking(server).run(jobs([long]), 1)
    assert (whole.response.prompt_flag, whole.response.sent) == ("ok", None)
    assert server.asked[1].body["messages"][0]["content"] == long
