"""The OpenAI-compatible format: requests to JSON, and JSON to replies or to a reason why it is none."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moco.config.engine import EngineSettings
from moco.engines.base import ServedRequest
from moco.engines.thoughts import CLOSE_THOUGHT, OPEN_THOUGHT
from moco.store.generations import Stored

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
MOST_ALTERNATIVES = {"chat": 20, "completions": 5}
"""Alternatives per token that the API lets one ask for."""

_DECIMALS = 6
_SEEDS = 2**31  # the range that every known server takes
_FINISHED = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "tool_calls": "stop",  # of tools that nobody offered; what is said beside them is the reply
    "function_call": "stop",
}
_UNKNOWN_ID = -1
_CALLS = ("tool_calls", "function_call")
_THOUGHTS = ("thinking", "reasoning")


class MalformedReply(Exception):
    """A reply that is none; another attempt may give one."""


class Withheld(Exception):
    """The server finished without giving the text; another attempt would end alike."""


def request_body(server: Mapping[str, Any], settings: EngineSettings, request: ServedRequest) -> dict[str, Any]:
    """Return the JSON of a request; settings that are off are left out, since not every server knows them.

    Args:
        server: As in `ModelInfo`.
        settings: Engine settings; their number of alternatives is cut to what the API allows.
        request: The request.
    """
    decoding, chat = request.decoding, server["api"] == "chat"
    body: dict[str, Any] = {"model": server["name"], server["limit_field"]: decoding.max_new_tokens}
    if chat:
        body["messages"] = [{"role": "user", "content": request.prompt}]
    else:
        body["prompt"] = request.prompt
    body["temperature"] = decoding.temperature
    if not decoding.greedy:
        body["top_p"] = decoding.top_p
        if decoding.top_k:
            body["top_k"] = decoding.top_k
    if decoding.repetition_penalty != 1:
        body["repetition_penalty"] = decoding.repetition_penalty
    if request.seed is not None and server["send_seed"]:
        body["seed"] = request.seed % _SEEDS
    if server["logprobs"]:
        most = min(settings.top_logprobs, MOST_ALTERNATIVES[server["api"]])
        body |= {"logprobs": True, "top_logprobs": most} if chat else {"logprobs": most}
    return {**body, **server["extra"]}


def read_reply(server: Mapping[str, Any], settings: EngineSettings, key: str, content: str, seconds: float) -> Stored:
    """Return the reply that a server's answer holds.

    Args:
        server: As in `ModelInfo`.
        settings: Engine settings.
        key: Of the request.
        content: Body of the answer.
        seconds: Time that it took.

    Raises:
        MalformedReply: It is no JSON of the format, or something in it is missing.
        Withheld: It ended for a reason that leaves no text.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise MalformedReply("no JSON") from None
    choice = _part(_part(data, "choices", list), 0, dict)
    finish = _finish(choice.get("finish_reason"))
    text = _chat_text(choice, finish) if server["api"] == "chat" else _completion_text(choice)
    usage = _part(data, "usage", dict)
    logprobs, alternatives = _logprobs(server["api"], choice) if server["logprobs"] else ([], [])
    width = min(map(len, alternatives), default=0)
    width = min(width, settings.top_logprobs)
    top = [sorted(each, reverse=True)[:width] for each in alternatives]
    reported = data.get("system_fingerprint")
    return Stored(
        key=key,
        text=_storable(text),
        finish=finish,
        prompt_tokens=_count(usage, "prompt_tokens"),
        tokens=[_UNKNOWN_ID] * len(logprobs),
        logprobs=[round(value, _DECIMALS) for value in logprobs],
        top_k=width,
        top_ids=[_UNKNOWN_ID] * width * len(logprobs),
        top_logprobs=[round(value, _DECIMALS) for each in top for value in each],
        tail=[round(max(0.0, 1 - math.fsum(map(math.exp, each))), _DECIMALS) for each in top],
        seconds=seconds,
        written=_count(usage, "completion_tokens"),
        reported=_storable(reported) if isinstance(reported, str) else None,
    )


def _storable(text: str) -> str:
    """Return the text with halves of characters, which JSON can hold and no file can, replaced by U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _part(data: Any, place: str | int, kind: type) -> Any:
    try:
        found = data[place]
    except (KeyError, IndexError, TypeError):
        raise MalformedReply(f"no {place}" if isinstance(place, str) else "choices are empty") from None
    if not isinstance(found, kind):
        raise MalformedReply(f"{place} is no {kind.__name__}" if isinstance(place, str) else "choice is no dict")
    return found


def _count(usage: Mapping[str, Any], name: str) -> int:
    value = usage.get(name)
    if type(value) is not int or not 0 <= value < 2**31:
        raise MalformedReply(f"usage has no {name}")
    return value


def _finish(reason: Any) -> str:
    if not isinstance(reason, str):
        raise MalformedReply("no finish_reason")
    if reason not in _FINISHED:
        raise Withheld(f"finish_reason {reason[:40]}")
    return _FINISHED[reason]


def _completion_text(choice: Mapping[str, Any]) -> str:
    return "" if "text" in choice and choice["text"] is None else str(_part(choice, "text", str))


def _chat_text(choice: Mapping[str, Any], finish: str) -> str:
    """Return the whole reply: a thought that the server gives apart comes first, between its marks.

    A message without content is an empty reply, as of a model that ends inside its thought or only calls a tool; one
    that was cut off in its thought leaves it open.
    """
    message = _part(choice, "message", dict)
    content, thoughts = _said(message.get("content"))
    apart = message.get("reasoning_content") or message.get("reasoning")
    thought = apart if isinstance(apart, str) else thoughts
    if content is None and isinstance(message.get("refusal"), str):
        content = message["refusal"]
    if content is None and "content" not in message and not thought and not any(map(message.get, _CALLS)):
        raise MalformedReply("message has no content")
    if not thought:
        return content or ""
    if not content and finish == "length":
        return OPEN_THOUGHT + thought
    return f"{OPEN_THOUGHT}{thought}{CLOSE_THOUGHT}{content or ''}"


def _said(content: Any) -> tuple[str | None, str]:
    """Return the text of a message's content, which may come in parts, and the thoughts among them."""
    if content is None or isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise MalformedReply("content is no text")
    said, thoughts = "", ""
    for part in content:
        if isinstance(part, str):
            said += part
            continue
        kind = part.get("type") if isinstance(part, dict) else None
        text = part.get(kind) if kind in ("text", "output_text", "refusal", *_THOUGHTS) else None
        text = part.get("text") if text is None and isinstance(part, dict) else text
        if isinstance(text, list):
            text = _said(text)[0]
        if not isinstance(text, str):
            raise MalformedReply("content has a part without text")
        if kind in _THOUGHTS:
            thoughts += text
        else:
            said += text
    return said, thoughts


def _logprobs(api: str, choice: Mapping[str, Any]) -> tuple[list[float], list[list[float]]]:
    """Return the log-probability of each token, and those of its alternatives."""
    found = _part(choice, "logprobs", dict)
    readers: dict[str, Callable[[Mapping[str, Any]], tuple[Sequence[Any], Sequence[Sequence[Any]]]]] = {
        "chat": _chat_logprobs,
        "completions": _completion_logprobs,
    }
    try:
        own, alternatives = readers[api](found)
        return [_number(value) for value in own], [[_number(value) for value in each] for each in alternatives]
    except (KeyError, TypeError, AttributeError, ValueError):
        raise MalformedReply("logprobs are not as declared") from None


def _chat_logprobs(found: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    steps = found["content"] or []
    own = [step["logprob"] for step in steps]
    return own, [[each["logprob"] for each in step["top_logprobs"]] for step in steps]


def _completion_logprobs(found: Mapping[str, Any]) -> tuple[Sequence[Any], Sequence[Sequence[Any]]]:
    own, top = found["token_logprobs"], found["top_logprobs"] or [{} for _ in found["token_logprobs"]]
    if len(top) != len(own):
        raise ValueError("lengths differ")
    return own, [list(each.values()) for each in top]


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("no number")
    return min(float(value), 0.0)
