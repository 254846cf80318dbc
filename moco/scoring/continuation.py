"""Base models that go on after their answer with a question of their own: where that begins."""

import re

_NEXT_QUESTION = re.compile(
    r"(?:\n[ \t]*(?:"
    r"(?:[*#_]+[ \t]*)?(?:q|question|problem|exercise|pregunta|frage|vraag|domanda|вопрос|问题|問題|题目|質問|문제|سؤال|प्रश्न)"
    r"[ \t]*(?:no\.?[ \t]*)?\d*[ \t]*(?:[*_]+[ \t]*)?[:：.)]"
    r"|(?:[*#_]+[ \t]*)?(?:human|user|instruction|input|passage)[ \t]*(?:[*_]+[ \t]*)?[:：]"
    r"|\#{2,}[ \t]*(?:instruction|input|question|problem|user|human)\b"
    r")|(?<=[.!?。])[ \t]+(?:q|question|problem)[ \t]*\d*:|<\|[^|>\n]{1,40}\|>|\[INST\]|</s>)",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(
    r"[^\d]*(?::|：)\s*$|(?:let|sure|okay|ok|first|here|certainly|of course|to solve)\b[^\d]*$", re.IGNORECASE
)


def before_next_question(text: str) -> str:
    """Return `text` up to where it begins a question or a turn of its own.

    A text that opens with a question repeats the one it was asked, and so does one with no more than a preamble before.
    """
    if _NEXT_QUESTION.match("\n" + text.lstrip()):
        return text
    found = _NEXT_QUESTION.search(text)
    before = text[: found.start()] if found else text
    return text if found and (not before.strip() or _PREAMBLE.match(before.strip())) else before
