"""White space of option texts: what only the right option has would give it away."""

import re
import textwrap

_INVISIBLE = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
    r"|(?<![^\s])[\u200c\u200d]+|[\u200c\u200d]+(?!\S)"  # joiners belong to some scripts, but only between letters
)
_FILLER = re.compile("[\u115f\u1160\u2800\u3164\uffa0]")
_LINE_BREAK = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
_OTHER_BLANK = re.compile(r"[^\S\n\t ]")


def even_blanks(text: str) -> str:
    """Return an option text without blanks around it, doubled or unusual ones, and marks that nobody sees.

    A text of several lines, as code is, keeps its line breaks, the blanks within lines, and how far each line is
    indented beyond the others.
    """
    previous = None
    while previous != text:
        previous, text = text, _INVISIBLE.sub("", text)
    text = _OTHER_BLANK.sub(" ", _LINE_BREAK.sub("\n", _FILLER.sub(" ", text)))
    if "\n" not in text.strip():
        return " ".join(text.split())
    return textwrap.dedent("\n".join(line.rstrip() for line in text.split("\n"))).strip("\n")
