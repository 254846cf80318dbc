"""Where code stands in a text: fences, markers of program ends, prompts of the interpreter.

A fence ends where what it holds is a program: a line of backticks in a docstring, or in a block of Markdown around the
code, ends nothing. Where no end gives a program, the first one counts.
"""

import ast
import re
import textwrap
import warnings
from collections.abc import Iterator

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
"""What parsing may raise for text that is no program."""

_FENCE = re.compile(r"(?P<before>^[ \t>]*|[^\n`~]*?)(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>[^\n`]*)$")
_LANGUAGE = re.compile(r"\s*(?:i?python|py)[0-9.]*\s*", re.IGNORECASE)
_CODE_AFTER_LANGUAGE = re.compile(
    rf"{_LANGUAGE.pattern}\s(?P<code>(?:def|class|import|from|async)\s.*|@\w.*)", re.IGNORECASE
)
_QUOTED = re.compile(r"^[ \t]*>[ \t]?", re.MULTILINE)
_BEGIN = re.compile(r"(?:^|(?<=[\s:]))\[BEGIN\][ \t]*", re.MULTILINE)
_END = re.compile(
    r"^[ \t]*\[DONE\](?![,\].(\[+])|(?<!return)(?<!yield)(?<![ \t]in)(?<=[\w)\]}\"'])[ \t]+\[DONE\][ \t]*$|<\|[a-z_]+\|>|</s>",
    re.MULTILINE,
)
_LONGEST_SOURCE = 200_000
_MOST_BLOCKS = 100
_MOST_ENDS = 12
_MOST_TRIES = 400
_MOST_LAYERS = 3
_MOST_PIECES = 8


def parse(text: str) -> ast.Module:
    """Return the syntax tree of a program.

    Raises:
        SyntaxError, ValueError, RecursionError, MemoryError: It is none.
    """
    if len(text) > _LONGEST_SOURCE:
        raise ValueError("too long")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the compiler, about escapes in the text
        return ast.parse(text)


def parsed(text: str) -> ast.Module | None:
    """Return the syntax tree of a text, or None when it is no Python program."""
    try:
        return parse(text)
    except UNREADABLE:
        return None


def pieces(text: str) -> list[str]:
    """Return the programs that a text ends by `[DONE]` or an end token, in order, and last the text itself."""
    starts = [0, *(end.end() for end in _END.finditer(text))]
    if len(starts) == 1 and not _BEGIN.search(text):
        return [text]
    stops = [*(end.start() for end in _END.finditer(text)), len(text)]
    parts = [text[start:stop] for start, stop in zip(starts, stops, strict=True)][:_MOST_PIECES]
    return [*(_BEGIN.split(part)[-1] for part in parts), text]


def fenced_blocks(text: str, layers: int = _MOST_LAYERS) -> list[str]:
    """Return the contents of code fences of backticks or tildes, closed or not; of very many, the last ones.

    Args:
        text: The text.
        layers: How deep fences within fences are looked for.
    """
    lines = text.splitlines()
    fences = {number: match for number, line in enumerate(lines) if (match := _FENCE.match(line))}
    order = list(fences)
    blocks: list[str] = []
    tries = _MOST_TRIES
    reached = 0
    for place, number in enumerate(order):
        if number < reached:
            continue
        first = None
        for end, content in _contents(lines, fences, order, place):
            first = first or (end, content)
            tries -= 1
            if _is_program(content):
                reached = end
                blocks.append(content)
                break
            if tries <= 0:  # the first end counts from here on
                break
        if reached <= number and first:
            reached, content = first
            blocks += _layers(content, layers) if layers > 1 else [content]
    return [without_prompts(block) for block in blocks[-_MOST_BLOCKS:]]


def _contents(
    lines: list[str], fences: dict[int, re.Match[str]], order: list[int], place: int
) -> Iterator[tuple[int, str]]:
    """Yield the ends that a fence may have, with what it then holds: the next lines that close it, or the last line.

    Args:
        lines: The text.
        fences: Its lines with a fence, by number.
        order: Numbers of these lines.
        place: Which of them is the opening one.
    """
    opening, start = fences[order[place]], order[place] + 1
    code = _CODE_AFTER_LANGUAGE.fullmatch(opening["info"])
    first = [code["code"]] if code else []
    found = 0
    for number in range(place + 1, len(order)):
        at = order[number]
        fence = fences[at]
        if fence["mark"].startswith(opening["mark"]) and not fence["info"].strip():
            before = [fence["before"]] if fence["before"].strip(" \t>") else []
            yield at + 1, _content([*first, *lines[start:at], *before], opening)
            found += 1
            if found == _MOST_ENDS:
                return
    yield len(lines), _content([*first, *lines[start:]], opening)


def _content(lines: list[str], opening: re.Match[str]) -> str:
    if lines and _LANGUAGE.fullmatch(lines[0]):
        lines = lines[1:]
    text = "\n".join(lines)
    if ">" in opening["before"]:
        text = _QUOTED.sub("", text)
    dedented = textwrap.dedent(text)
    tree = parsed(dedented)
    # A body of a function is indented for a reason.
    whole = tree is not None and any(isinstance(node, DEFINITIONS) for node in tree.body)
    return (dedented if whole else text).strip("\n")


def _is_program(content: str) -> bool:
    tree = parsed(content)
    return tree is not None and bool(tree.body)


def _layers(content: str, layers: int) -> list[str]:
    """Return what stands before the first fence within a block that is no program, and the blocks from there on."""
    lines = content.splitlines()
    inner = next((number for number, line in enumerate(lines) if _FENCE.match(line)), None)
    if inner is None:
        return [content]
    before = "\n".join(lines[:inner])
    return [*([before] if before.strip() else []), *fenced_blocks("\n".join(lines[inner:]), layers - 1)]


def without_prompts(block: str) -> str:
    """Return what an interpreter session defines, or a block that is none as it is."""
    if ">>> " not in block or parsed(block) is not None:
        return block
    typed = [line[4:] for line in block.splitlines() if line.startswith((">>> ", "... "))]
    tree = parsed("\n".join(typed))
    if tree is None:
        return block
    return "\n\n".join(ast.unparse(node) for node in tree.body if not isinstance(node, ast.Expr)) or block
