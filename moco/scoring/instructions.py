"""Whether a reply follows an instruction, by the official rules of IFEval (arXiv 2311.07911).

Two of them rest on packages that this project does not have. Sentences are told by punctuation and common
abbreviations. The test that a reply in capitals (or without any) is in English is that its letters are Latin.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Arguments = Mapping[str, Any]

_PARAGRAPH_MARK = re.compile(r"\s?\*\*\*\s?")
_WORD = re.compile(r"\w+")
_ABBREVIATION = re.compile(
    r"\b(?:mr|mrs|ms|dr|prof|st|jr|sr|vs|etc|e\.g|i\.e|inc|ltd|co|corp|no|fig|a\.m|p\.m|u\.s|[a-z])\.$", re.IGNORECASE
)
_LONGEST_ABBREVIATION = 6
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]*”’]*(?=\s)")
_CAPITALS = re.compile(r"[^\W_]+(?:[.&'’-][^\W_]+)*")
_PLACEHOLDER = re.compile(r"\[.*?\]")
_STARRED_BULLET = re.compile(r"^[^\S\n]*\*[^*].*$", re.MULTILINE)
_DASHED_BULLET = re.compile(r"^[^\S\n]*-.*$", re.MULTILINE)
_HIGHLIGHTS = (re.compile(r"\*[^\n*]*\*"), re.compile(r"\*\*[^\n*]*\*\*"))
_TITLE = re.compile(r"<<[^\n]+>>")
_FENCE = re.compile(r"^```(?:json)?", re.IGNORECASE)
_STANCES = tuple(f"My answer is {word}." for word in ("yes", "no", "maybe"))
_DIVIDER = "******"
_FIRST_WORD_ENDS = re.compile(r"[.,?!'\"]")


def follows(name: str, arguments: Arguments, reply: str) -> bool:
    """Return whether a reply follows an instruction; an empty reply follows none.

    Args:
        name: Id of the instruction, one of `KNOWN`.
        arguments: What it asks for.
        reply: What was replied.

    Raises:
        KeyError: An argument is missing.
    """
    return bool(reply.strip()) and bool(_CHECKS[name](reply, arguments))


def variants(reply: str) -> list[str]:
    """Return what the loose rules read: the reply, also without its first or last line, without emphasis."""
    lines = reply.split("\n")
    cut = [reply, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return [*cut, *(text.replace("*", "") for text in cut)]


def _related(count: int, relation: str, wanted: int) -> bool:
    return count < wanted if relation == "less than" else count >= wanted


def _sentences(reply: str) -> int:
    count, start = 0, 0
    for end in _SENTENCE_END.finditer(reply):
        if not _ABBREVIATION.search(reply, max(start, end.end() - _LONGEST_ABBREVIATION), end.end()):
            count += bool(_WORD.search(reply, start, end.end()))
            start = end.end()
    return count + bool(_WORD.search(reply, start))


def _paragraphs(reply: str, arguments: Arguments) -> Any:
    parts = _PARAGRAPH_MARK.split(reply)
    inner = parts[1:-1]
    ends = [parts[0], parts[-1]] if len(parts) > 1 else parts
    count = len(inner) + sum(bool(part.strip()) for part in ends)
    return all(part.strip() for part in inner) and count == arguments["num_paragraphs"]


def _nth_paragraph(reply: str, arguments: Arguments) -> Any:
    parts = reply.split("\n\n")
    count = sum(bool(part.strip()) for part in parts)
    place = arguments["nth_paragraph"]
    if place > count or not (paragraph := parts[place - 1].strip()):
        return False
    word = _FIRST_WORD_ENDS.split(paragraph.split()[0].lstrip("'").lstrip('"'), maxsplit=1)[0].lower()
    return count == arguments["num_paragraphs"] and word == arguments["first_word"].lower()


def _postscript(reply: str, arguments: Arguments) -> bool:
    marker = arguments["postscript_marker"].strip()
    known = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
    return bool(re.search(known.get(marker, re.escape(marker.lower())), reply.lower()))


def _placeholders(reply: str) -> int:
    # What follows the last closing bracket of a line has none, and would be searched again and again.
    return sum(len(_PLACEHOLDER.findall(line, 0, line.rfind("]") + 1)) for line in reply.split("\n"))


def _highlights(reply: str, arguments: Arguments) -> Any:
    single, double = _HIGHLIGHTS
    count = sum(bool(found.strip("*").strip()) for found in single.findall(reply))
    count += sum(bool(found[2:-2].strip()) for found in double.findall(reply))
    return count >= arguments["num_highlights"]


def _sections(reply: str, arguments: Arguments) -> Any:
    found = re.findall(rf"{re.escape(arguments['section_spliter'].strip())}\s?\d+", reply)
    return len(found) >= arguments["num_sections"]


def _json(reply: str, _: Arguments) -> bool:
    try:
        json.loads(_FENCE.sub("", reply.strip()).removesuffix("```").strip())
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(reply: str, _: Arguments) -> bool:
    parts = reply.split(_DIVIDER)
    if not all(part.strip() for part in parts[1:-1]):
        return False
    found = [part.strip() for part in parts if part.strip()]
    return len(found) == 2 and found[0] != found[1]


def _ends_with(reply: str, arguments: Arguments) -> Any:
    return reply.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def _quoted(reply: str, _: Arguments) -> bool:
    text = reply.strip()
    return len(text) > 1 and text.startswith('"') and text.endswith('"')


def _latin(reply: str) -> bool:
    return all(character < "\u0250" for character in reply if character.isalpha())


def _capital_words(reply: str, arguments: Arguments) -> bool:
    count = sum(word.isupper() for word in _CAPITALS.findall(reply))
    return _related(count, arguments["capital_relation"], arguments["capital_frequency"])


def _matches(words: list[str], pattern: str, reply: str) -> list[bool]:
    return [bool(re.search(pattern.format(re.escape(word)), reply, re.IGNORECASE)) for word in words]


_CHECKS: dict[str, Callable[[str, Arguments], Any]] = {
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": lambda reply, _: reply.isupper() and _latin(reply),
    "change_case:english_lowercase": lambda reply, _: reply.islower() and _latin(reply),
    "combination:repeat_prompt": lambda reply, said: (
        reply.strip().lower().startswith(said["prompt_to_repeat"].strip().lower())
    ),
    "combination:two_responses": _two_responses,
    "detectable_content:number_placeholders": lambda reply, said: _placeholders(reply) >= said["num_placeholders"],
    "detectable_content:postscript": _postscript,
    "detectable_format:constrained_response": lambda reply, _: any(stance in reply for stance in _STANCES),
    "detectable_format:json_format": _json,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:number_bullet_lists": lambda reply, said: (
        len(_STARRED_BULLET.findall(reply)) + len(_DASHED_BULLET.findall(reply)) == said["num_bullets"]
    ),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:title": lambda reply, _: any(
        found.lstrip("<").rstrip(">").strip() for found in _TITLE.findall(reply)
    ),
    "keywords:existence": lambda reply, said: all(_matches(said["keywords"], "{}", reply)),
    "keywords:forbidden_words": lambda reply, said: not any(_matches(said["forbidden_words"], r"\b{}\b", reply)),
    "keywords:frequency": lambda reply, said: _related(
        len(re.findall(re.escape(said["keyword"].strip()), reply, re.IGNORECASE)), said["relation"], said["frequency"]
    ),
    "keywords:letter_frequency": lambda reply, said: _related(
        reply.lower().count(said["letter"].strip().lower()), said["let_relation"], said["let_frequency"]
    ),
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_sentences": lambda reply, said: _related(
        _sentences(reply), said["relation"], said["num_sentences"]
    ),
    "length_constraints:number_words": lambda reply, said: _related(
        len(_WORD.findall(reply)), said["relation"], said["num_words"]
    ),
    "punctuation:no_comma": lambda reply, _: "," not in reply,
    "startend:end_checker": _ends_with,
    "startend:quotation": _quoted,
}

KNOWN = frozenset(_CHECKS)
"""Instructions that can be checked; that of the language of a reply would take a detector of languages."""
