"""Where a reply may end: base models go on with another question after their answer."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from moco.scoring.labels import folded, letters_only

_QUESTION = re.compile(
    r"^[^\w\n]*(?:question|q|problem|user|human|pregunta|frage|domanda|pergunta|вопрос|السؤال|سؤال|प्रश्न|问题|質問|질문)"
    r"[ \t]*\d*[^\w\n]*(?:[:：.)][^\w\n]*|$)(?P<asked>[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_ASKED = re.compile(r"^[^\w\n]*\w{1,20}(?:[ \t]\w{1,20}){0,2}[ \t]?[:：](?P<asked>[^\n]*)[?？؟][ \t]*$", re.MULTILINE)
_LABELLED = re.compile(r"^[ \t]*[(\[]?(?P<letter>[A-Z])[)\].:][ \t]*(?P<text>\S[^\n]*)$", re.MULTILINE)
_MOST_ENDS = 4
_SHORTEST_REPEAT = 8


def ends(text: str, question: str, options: Sequence[str]) -> Iterator[tuple[int, bool]]:
    """Yield the places where a reply may go over to another question, with whether it says so itself.

    Args:
        text: The cleaned-up reply.
        question: What was asked: a reply that repeats it still speaks of it.
        options: Texts of the options: a list of others belongs to another question.
    """
    own = letters_only(question)
    found: dict[int, bool] = {}
    for form in (_ASKED, _QUESTION):
        for match in form.finditer(text):
            asked = letters_only(match["asked"])
            repeated = len(asked) >= _SHORTEST_REPEAT and asked[:80] in own
            if not repeated and letters_only(text[: match.start()]):
                found[match.start()] = form is _QUESTION
    rows = list(_LABELLED.finditer(text))
    texts = {folded(option) for option in options}
    for first, second in pairwise(rows):
        both = first["letter"] + second["letter"] == "AB"
        if (
            both
            and letters_only(text[: first.start()])
            and not {folded(row["text"]) for row in (first, second)} & texts
        ):
            found.setdefault(first.start(), False)
    yield from sorted(found.items())[:_MOST_ENDS]
