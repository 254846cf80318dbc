"""The story of an item as plain text, for a terminal and for the report."""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from moco.analysis.stories import Story
from moco.tasks.item import LETTERS

_SHARED = ("plain", "logits")


def story_text(story: Story) -> str:
    """Return what happened to an item; replies that a method shares with all others are named, not repeated."""
    lines = [
        f"{story['uid']}: {story['type']}" + (f", {story['domain']}" if story["domain"] else ""),
        *_quoted(story["prompt"]),
        *_field("reference", _gold(story)),
        *(
            ["reference is broken at the source: the item is not scored"]
            if story["reference"]["valid"] is False
            else []
        ),
        "",
    ]
    for reply in story["replies"]:
        lines += [
            f"model {reply['model']}, seed {reply['seed']}, sample {reply['sample']}{_faults(reply)}",
            *_quoted(reply["text"]),
            *_scores(reply["scores"]),
            "",
        ]
    for method in story["methods"]:
        lines.append(f"method {method['method']} on pool {method['pool']}, seed {method['seed']}")
        for number, calls in groupby(method["calls"], key=lambda call: call["round"]):
            lines += _round(number, list(calls))
        for answer in method["answers"]:
            lines += _answer(answer, len(method["answers"]))
        lines.append("")
    return "\n".join(_visible(line).rstrip() for line in lines).rstrip("\n") + "\n"


def _gold(story: Story) -> str:
    gold = story["reference"]["gold"]
    if isinstance(gold, dict) and "index" in gold and gold["index"] is not None and story["options"]:
        return f"{LETTERS[gold['index']]} ({story['options'][gold['index']]})"
    return gold if isinstance(gold, str) else json.dumps(gold, ensure_ascii=False)


def _round(number: int, calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    shared = [call for call in calls if call["kind"] in _SHARED]
    if shared:
        read = (f"{call['model']} {call['kind']} {call['sample']}" for call in shared)
        yield f"  reads {', '.join(dict.fromkeys(read))}"
    for group in _joint(call for call in calls if call["kind"] not in _SHARED):
        call = group[0]
        who = " + ".join(each["model"] for each in group)
        yield f"  round {number}, {call['kind']} call {call['call']}, {call['purpose']}: {who}{_faults(call)}"
        if call["prompt"] is not None:
            yield from _quoted(call["prompt"], "    | ")
        yield from _quoted(call["text"], "    > ")
        if call["segments"]:
            yield f"    written by {_written(call)}"


def _joint(calls: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield calls; those of the models that wrote one reply together are one group."""
    held: list[Mapping[str, Any]] = []
    for call in calls:
        same = ("key", "sample", "purpose")
        if held and call["kind"] == "joint" and all(held[0][name] == call[name] for name in same):
            held.append(call)
            continue
        if held:
            yield held
        held = [call]
    if held:
        yield held


def _written(call: Mapping[str, Any]) -> str:
    spans = [(model, list(segments)) for model, segments in groupby(call["segments"], key=lambda segment: segment[0])]
    return ", ".join(f"{model} {call['text'][each[0][1] : each[-1][2]]!r}" for model, each in spans)


def _answer(answer: Mapping[str, Any], count: int) -> Iterator[str]:
    number = f" {answer['answer']}" if count > 1 else ""
    words = f", in the words of {', '.join(answer['models'])}" if answer["models"] else ""
    yield f"  answer{number}{words}{_faults(answer)}"
    yield from _quoted(answer["text"], "    > ")
    if answer["has_extracted"]:
        yield from _field("    given as", answer["extracted"])
    if answer["fallback"]:
        yield from _field("    left its regular path", answer["fallback"])
    if answer["record"]:
        yield from _field("    record", json.dumps(answer["record"], ensure_ascii=False, sort_keys=True))
    yield from _scores(answer["scores"])


def _scores(scores: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for rules, said in scores.items():
        score = said["status"] if said["score"] is None else f"{said['score']:g}"
        parsed = "" if said["parsed"] is None else f", read {said['parsed']!r}"
        rule = f", rule {said['rule']}" if said["rule"] else ""
        reason = f", {said['reason']}" if said["reason"] and said["score"] is None else ""
        status = f", {said['status']}" if said["score"] is not None and said["status"] != "ok" else ""
        yield f"    score {score} by {rules}{status}{parsed}{rule}{reason}"
        if said["details"]:
            yield from _field("    details", json.dumps(said["details"], ensure_ascii=False, sort_keys=True))


def _faults(reply: Mapping[str, Any]) -> str:
    """Return what is not as usual in how a reply came about."""
    found = [reply["reason"] or "failed"] if reply.get("status") == "failed" else []
    found += ["cut at the token limit"] if reply.get("finish") == "length" else []
    found += [f"prompt {reply['prompt_flag']}"] if reply.get("prompt_flag") not in (None, "ok") else []
    found += [f"thought {reply['thought']}"] if reply.get("thought") not in (None, "none") else []
    return f" ({', '.join(found)})" if found else ""


def _field(name: str, value: str | None) -> Iterator[str]:
    first, *rest = ("-" if value is None else value).split("\n")
    yield f"{name}: {first}"
    yield from (f"    {line}" for line in rest)


def _quoted(text: str | None, mark: str = "  | ") -> Iterator[str]:
    yield from (mark + line for line in ("" if text is None else text).split("\n"))


def _visible(line: str) -> str:
    """Return a line in which control characters are escaped: a reply must not steer a terminal."""
    return "".join(
        char if char == "\t" or unicodedata.category(char) not in ("Cc", "Zl", "Zp") else ascii(char)[1:-1]
        for char in line
    )
