"""Clean-up and reading of replies, shared by the strict scorers: thoughts, boxes, elements, sentences, negation."""

import re
import unicodedata
from itertools import pairwise

_STRAIGHT = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "‚": "'",
        "‛": "'",
        "′": "'",
        "“": '"',
        "”": '"',
        "„": '"',
        "‟": '"',
        "«": '"',
        "»": '"',
        "−": "-",
        "⁄": "/",
        "٫": ".",
        "٬": ",",
        "،": ",",
        "٪": "%",
    }
)
_UNSEEN = frozenset("\u034f\u115f\u1160\u20e3\u2800\u3164\uffa0")
_VISIBLE_CONTROLS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85")


class _PlainMarks(dict[int, str | None]):
    """What each character becomes: invisible ones nothing, digits of any script those of ASCII."""

    def __missing__(self, code: int) -> str | None:
        mark = chr(code)
        category = unicodedata.category(mark)
        plain: str | None = mark
        if (
            category == "Cf"
            or mark in _UNSEEN
            or 0xFE00 <= code <= 0xFE0F
            or (category == "Cc" and mark not in _VISIBLE_CONTROLS)
        ):
            plain = None
        elif category == "Nd":
            plain = str(unicodedata.decimal(mark))
        self[code] = plain
        return plain


_PLAIN_MARKS = _PlainMarks(_STRAIGHT)
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"
_PLAIN_DIGITS = str.maketrans(_SUPERSCRIPTS, "0123456789+-")
_SUPERSCRIPT_RUN = re.compile(f"[{_SUPERSCRIPTS}]+")
_SUBSCRIPT_RUN = re.compile(r"(?<=\w)[₀-₉]+")
_VULGAR_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_THOUGHT_TAG = re.compile(r"[<\[◁](/?)(?:think|thinking|thought|thoughts|reasoning)[>\]▷]", re.IGNORECASE)
_TEXT_WRAPPER = re.compile(
    r"\\(?:text(?:bf|it|rm|tt|sf|sc|normal)?|math(?:rm|bf|it|sf|tt)|mbox|operatorname\*?)\s?\{([^{}]*)\}"
)
_OPENING_WRAPPER = re.compile(r"\\(?:text(?:bf|it|rm|tt|sf|sc|normal)?|math(?:rm|bf|it|sf|tt)|mbox)\s?\{")
_MAX_WRAPPER_DEPTH = 6
_BLANKS = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r" ?\n(?: ?\n)+ ?")
_HEAD, _TAIL = 4_000, 16_000
_STRONG_EMPHASIS = re.compile(r"(?<!\w)\*\*+|\*\*+(?!\w)|`+")
_ANY_EMPHASIS = re.compile(r"(?<!\w)[*_]+(?=\S)|(?<=\S)[*_]+(?!\w)|`+")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t]+", re.MULTILINE)
_BOX = re.compile(r"\\(?:boxed|fbox|box)(?![a-z])[ \t]*", re.IGNORECASE)
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox|box)\s*\{\s*\}(?!\s*[)\]}>])", re.IGNORECASE)
_LONGEST_BOX = 5_000
_UNESCAPED_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_ONLY_BRACKETS = re.compile(r"[\s\\$]*[()\[\]{}<>][()\[\]{}<>\s\\$]*")
_TEXT_OPENER = re.compile(r"\s*\\(?:text|mbox|mathrm)\s?\{(?=.*\}\s*$)", re.DOTALL)
_ANSWER_TAG = re.compile(r"<(/?)answer>", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。])\s*|\s*\n\s*")
_ABBREVIATED = re.compile(
    r"(?:^|[\s(\"'.-])(?:[^\W\d_]|jr|sr|st|mt|ft|dr|mr|mrs|ms|prof|rev|gen|col|capt|lt|sgt|gov|sen|hon|rep|dem|no|vs|vol"
    r"|inc|co|corp|ltd|bros|subsp|ssp|var|op|feat|dept|univ)\.$",
    re.IGNORECASE,
)
_MATH_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


def plain_unicode(text: str) -> str:
    """Return `text` in compatibility form with straight quotes and plain minus signs; exponents stay exponents.

    Digits of all scripts become those of ASCII, and what nobody sees (marks of direction, joiners, soft hyphens) goes.
    Compatibility normalisation alone would read a raised 2 as the digit 2, so that ten squared became 102.
    """
    raised = _SUPERSCRIPT_RUN.sub(lambda run: "^{" + run[0].translate(_PLAIN_DIGITS) + "}", text)
    lowered = _SUBSCRIPT_RUN.sub(lambda run: "_{" + unicodedata.normalize("NFKC", run[0]) + "}", raised)
    spaced = _VULGAR_FRACTION.sub(" ", lowered)
    return unicodedata.normalize("NFKC", spaced.translate(_PLAIN_MARKS)).translate(_STRAIGHT)


def without_thoughts(text: str) -> str | None:
    """Return `text` without closed thoughts, or None when a thought was begun and not ended.

    A closing tag without an opening one ends a thought that the prompt opened.
    """
    kept: list[str] = []
    position, inside = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if tag[1]:
            if not inside:
                kept.clear()
            position, inside = tag.end(), False
        elif not inside:
            kept.append(text[position : tag.start()])
            inside = True
    return None if inside else "".join([*kept, text[position:]])


def visible_answer(reply: str) -> str | None:
    """Return what a reply says outside its thoughts, cleaned up, or None when nothing is left to read.

    Of a very long reply only the beginning and the end are read: that is where answers stand, and it bounds the time.
    """
    spoken = without_thoughts(reply)
    if spoken is None:
        return None
    if len(spoken) > _HEAD + _TAIL:
        spoken = spoken[:_HEAD] + "\n" + spoken[-_TAIL:]
    cleaned = _BLANK_LINES.sub("\n\n", _BLANKS.sub(" ", plain_unicode(spoken)))
    return cleaned.strip() or None


def unwrapped(text: str) -> str:
    r"""Return `text` with LaTeX text wrappers such as `\text{...}` replaced by what they hold."""
    for _ in range(_MAX_WRAPPER_DEPTH):
        text, count = _TEXT_WRAPPER.subn(r"\1", text)
        if not count:
            break
    opener = _OPENING_WRAPPER.match(text)
    if opener and _closing_brace(text, opener.end() - 1) == len(text) - 1:
        return text[opener.end() : -1].strip()
    return text


def without_strong_emphasis(text: str) -> str:
    """Return `text` without heading marks, double asterisks and backticks; single marks may be arithmetic."""
    return _STRONG_EMPHASIS.sub("", _HEADING.sub("", text))


def without_emphasis(text: str) -> str:
    """Return `text` without any Markdown emphasis or heading marks."""
    return _ANY_EMPHASIS.sub("", _HEADING.sub("", text))


def without_math_delimiters(text: str) -> str:
    """Return `text` without the dollar signs or brackets that put all of it in mathematics mode."""
    text = text.strip()
    for opening, closing in _MATH_DELIMITERS:
        long_enough = len(text) > len(opening) + len(closing)
        if long_enough and text.startswith(opening) and text.endswith(closing):
            inner = text[len(opening) : -len(closing)]
            if opening not in inner:
                return inner.strip()
    return text


def without_empty_boxes(text: str) -> str:
    """Return `text` without box commands that hold nothing."""
    return _EMPTY_BOX.sub("", text)


def last_box(text: str) -> str | None:
    r"""Return the content of the last non-empty box command, or None.

    Braces are balanced and escaped ones do not count. A command without braces takes the rest of its line. A box that
    holds brackets only reaches to the last closing brace of its line, because such an answer cannot be balanced.
    """
    text = without_empty_boxes(text)
    for command in reversed(list(_BOX.finditer(text))):
        content = _box_content(text, command.end())
        if content:
            return content
    return None


def _box_content(text: str, start: int) -> str:
    line_end = text.find("\n", start)
    line = text[start : len(text) if line_end < 0 else line_end]
    if not text.startswith("{", start):
        return line.strip().rstrip("$").strip()
    reach = line[1 : line.rfind("}")] if "}" in line[1:] else line[1:]
    brackets = _without_text_opener(reach)
    if _ONLY_BRACKETS.fullmatch(brackets):
        return brackets.strip()
    closing = _closing_brace(text, start)
    return (reach if closing is None else text[start + 1 : closing]).strip()


def _without_text_opener(content: str) -> str:
    opener = _TEXT_OPENER.match(content)
    return content[opener.end() :].rstrip()[:-1] if opener else content


def _closing_brace(text: str, opening: int) -> int | None:
    depth = 0
    for brace in _UNESCAPED_BRACE.finditer(text, opening, opening + _LONGEST_BOX):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if depth == 0:
                return brace.start()
    return None


def last_answer_element(text: str) -> str | None:
    """Return the content of the last closed and non-empty `<answer>` element, or None."""
    tags = list(_ANSWER_TAG.finditer(text))
    for opening, closing in reversed(list(pairwise(tags))):
        content = text[opening.end() : closing.start()].strip()
        if not opening[1] and closing[1] and content:
            return content
    return None


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`; a line break ends one."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def first_sentence(text: str, *, names: bool = False) -> str:
    """Return the first sentence of `text`; with `names`, initials and abbreviations do not end it."""
    text = text.strip()
    for end in _SENTENCE_END.finditer(text):
        if not (names and "\n" not in end[0] and _ABBREVIATED.search(text, max(0, end.start() - 12), end.start())):
            return text[: end.start()].strip()
    return text


def lines(text: str) -> list[str]:
    """Return the lines of `text` that are not blank, trimmed."""
    return [line.strip() for line in text.split("\n") if line.strip()]
