"""Whether a reply follows an instruction of IFEval, by the checks of the original's release 1.1.2.

They differ from the official ones (`moco.scoring.instructions`): a title is a heading, paragraphs are parted by blank
lines alone, "exactly" is "at least".
"""

import json
import operator
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

Arguments = Mapping[str, Any]

_RELATIONS = {
    "at least": operator.ge,
    "more than": operator.gt,
    "less than": operator.lt,
    "at most": operator.le,
    "exactly": operator.eq,
}
_SENTENCE_END = re.compile(r"[.!?]+(?=\s|$)")
_BLANK_LINE = re.compile(r"\n\s*\n")
_HIGHLIGHT = re.compile(r"(?<!\*)\*(?!\*)[^*\n]+(?<!\*)\*(?!\*)")
_BULLET = re.compile(r"^[^\S\n]*[-*•]\s+\S", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+\S", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\[[^\]]+\]")
_STANCES = tuple(f"my answer is {word}." for word in ("yes", "no", "maybe"))


def follows(name: str, arguments: Arguments, reply: str) -> bool:
    """Return whether a reply follows an instruction; one that is unknown is followed, one without arguments is not."""
    check = _CHECKS.get(name)
    with suppress(Exception):
        return check is None or bool(check(reply, arguments))
    return False


def _related(count: int, relation: Any, wanted: Any) -> bool:
    return bool(_RELATIONS.get(relation, operator.ge)(count, wanted))


def _paragraphs(reply: str) -> list[str]:
    return [part for part in _BLANK_LINE.split(reply.strip()) if part.strip()]


def _sentences(reply: str) -> int:
    return sum(bool(part.strip()) for part in _SENTENCE_END.split(reply.strip()))


def _occurrences(text: str, part: str) -> int:
    return text.lower().count(part.lower())


def _letters(reply: str, fits: Callable[[str], bool]) -> bool:
    letters = [character for character in reply if character.isalpha()]
    return bool(letters) and all(map(fits, letters))


def _nth_paragraph(reply: str, arguments: Arguments) -> Any:
    paragraphs, place = _paragraphs(reply), arguments["nth_paragraph"]
    return 1 <= place <= len(paragraphs) and (
        paragraphs[place - 1].split()[0].lower() == arguments["first_word"].lower()
    )


def _sections(reply: str, arguments: Arguments) -> Any:
    found = re.findall(rf"{re.escape(arguments['section_spliter'])}\s*\d+", reply, re.IGNORECASE)
    return len(found) >= arguments["num_sections"]


def _json(reply: str, _: Arguments) -> bool:
    json.loads(re.sub(r"\s*```$", "", re.sub(r"^```(?:json)?\s*", "", reply.strip())))
    return True


def _quoted(reply: str, _: Arguments) -> bool:
    text = reply.strip()
    return text.startswith('"') and text.endswith('"')


def _capital_words(reply: str, arguments: Arguments) -> bool:
    words = reply.split()
    count = sum(word[0].isupper() for word in words)
    return bool(words) and _related(count, arguments["capital_relation"], arguments["capital_frequency"])


_CHECKS: dict[str, Callable[[str, Arguments], Any]] = {
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda reply, _: _letters(reply, str.isupper),
    "change_case:english_lowercase": lambda reply, _: _letters(reply, str.islower),
    "combination:repeat_prompt": lambda reply, said: said["prompt_to_repeat"].strip() in reply,
    "combination:two_responses": lambda reply, _: "******" in reply,
    "detectable_content:number_placeholders": lambda reply, said: (
        len(_PLACEHOLDER.findall(reply, 0, reply.rfind("]") + 1)) >= said["num_placeholders"]
    ),
    "detectable_content:postscript": lambda reply, said: said["postscript_marker"] in reply,
    "detectable_format:constrained_response": lambda reply, _: any(stance in reply.lower() for stance in _STANCES),
    "detectable_format:json_format": _json,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": lambda reply, said: len(_BULLET.findall(reply)) >= said["num_bullets"],
    "detectable_format:number_highlighted_sections": lambda reply, said: (
        len(_HIGHLIGHT.findall(reply)) >= said["num_highlights"]
    ),
    "detectable_format:title": lambda reply, _: _HEADING.search(reply),
    "keywords:existence": lambda reply, said: all(word.lower() in reply.lower() for word in said["keywords"]),
    "keywords:forbidden_words": lambda reply, said: (
        not any(word.lower() in reply.lower() for word in said["forbidden_words"])
    ),
    "keywords:frequency": lambda reply, said: _related(
        _occurrences(reply, said["keyword"]), said.get("relation"), said["frequency"]
    ),
    "keywords:letter_frequency": lambda reply, said: _related(
        _occurrences(reply, said["letter"]), said.get("let_relation"), said["let_frequency"]
    ),
    # The release asks a package for it that it does not require; without the package the check fails.
    "language:response_language": lambda *_: False,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "length_constraints:number_paragraphs": lambda reply, said: len(_paragraphs(reply)) == said["num_paragraphs"],
    "length_constraints:number_sentences": lambda reply, said: _related(
        _sentences(reply), said.get("relation"), said["num_sentences"]
    ),
    "length_constraints:number_words": lambda reply, said: _related(
        len(reply.split()), said.get("relation"), said["num_words"]
    ),
    "punctuation:no_comma": lambda reply, _: "," not in reply,
    "startend:end_checker": lambda reply, said: reply.strip().endswith(said["end_phrase"]),
    "startend:quotation": _quoted,
}
