"""Published datasets whose rows no mapping of columns reads: one function each.

Its parameters are columns (of a file in MoCo's format: fields of an item), and it returns fields of the item by the names
of `moco.config.columns.Columns`, which take the place of what the mapping says.
"""

import ast
import json
import re
from collections.abc import Callable
from inspect import signature
from typing import Any

Fields = dict[str, Any]

_LABEL = re.compile(r"\s*\(?[A-Za-z]\)\s*")


def agieval(query: str, choices: list[str]) -> Fields:
    """Take options and labels out of the texts."""
    question = _before(query, "Answer Choices:").removeprefix("Q:").strip()
    options = [text[match.end() :] if (match := _LABEL.match(text)) else text for text in choices]
    return {"question": question, "options": options}


def alpacaeval(instruction: str | None, input: str | None) -> Fields:
    """Put an instruction and what it is about into one text."""
    return {"question": "\n".join(filter(None, (instruction, input))).strip()}


def arc_challenge(answerKey: str, choices: dict[str, list[str]]) -> Fields:
    """Find an answer among labels that are letters in some rows, digits in others."""
    return {"options": choices["text"], "gold": choices["label"].index(answerKey)}


def bbh(target: str) -> Fields:
    """Give `A` for `(A)`; other answers stay."""
    return {"gold": re.sub(r"^\(([A-Za-z])\)$", r"\1", target)}


def bixbench_file(id: str) -> Fields:
    """Group by the capsule of data, the id without the number of the question."""
    return {"group": id.rpartition("-")[0]}


def blend(prompt: str, choices: str) -> Fields:
    """Take options and the cue to answer out of the prompt."""
    return {"question": _before(prompt, "Without any explanation"), "options": json.loads(choices)}


def blend_file(question: str) -> Fields:
    """Take options and the cue to answer out of the question, which is a group."""
    bare = _before(question, "Without any explanation")
    return {"question": bare, "group": bare}


def culturebench(answer: bool | None) -> Fields:
    """Give a truth value as a text."""
    return {"gold": None if answer is None else str(answer)}


def gsm8k(answer: str) -> Fields:
    """Give the number that follows the reasoning."""
    return {"gold": answer.rpartition("####")[2].strip()}


def infinite_chat_open(messages: list[dict[str, str]]) -> Fields:
    """Give what the user says first."""
    return {"question": _opening(messages)}


def kaleidoscope(valence: str) -> Fields:
    """Give an option's place for either spelling of a valence."""
    places = {"supports": 0, "support": 0, "opposes": 1, "oppose": 1, "either": 2}
    return {"gold": places[valence.strip().casefold()]}


def kaleidoscope_file(question: str) -> Fields:
    """Group by situation."""
    return {"group": question.rpartition("Situation:")[2].strip()}


def math(solution: str) -> Fields:
    r"""Give the content of the last \boxed{...}; nothing where there is none."""
    start = max(solution.rfind(r"\boxed"), solution.rfind(r"\fbox"))
    if start < 0:
        return {"gold": None}
    opening = solution.find("{", start)
    if opening < 0 or solution[start:opening].strip() not in (r"\boxed", r"\fbox"):
        return {"gold": solution[start:].split("$")[0].partition(" ")[2].strip() or None}
    depth = 0
    for place in range(opening, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[place], 0)
        if depth == 0:
            return {"gold": solution[opening + 1 : place].strip()}
    return {"gold": None}


def mbpp(test_list: list[str], test_setup_code: str | None) -> Fields:
    """Put assertions into a `check(candidate)` function, after the code that precedes them."""
    from moco.scoring.assertions import called_name  # only here: every reading of a configuration would import scorers

    name = called_name(ast.parse(test_list[0].strip()))
    setup = (test_setup_code or "").strip()
    local = [f"    {name} = candidate"] if name else []
    body = [f"    {line}" for assertion in test_list for line in assertion.strip().splitlines()]
    test = "\n".join([*([setup, ""] if setup else []), "def check(candidate):", *local, *body, ""])
    return {"gold": test, "entry_point": name}


def tablemwp_free_text_file(input: str) -> Fields:
    """Group by table."""
    return {"group": _before(input, "\nQuestion:")}


def tablemwp_multiple_choice_file(question: str) -> Fields:
    """Group by table."""
    return {"group": _before(question, "\nQuestion:")}


def truthfulqa(mc1_targets: dict[str, list[Any]]) -> Fields:
    """Find the option that is marked as right."""
    return {"options": mc1_targets["choices"], "gold": mc1_targets["labels"].index(1)}


def wildchat(conversation: list[dict[str, str]]) -> Fields:
    """Give what the user says first."""
    return {"question": _opening(conversation)}


def _before(text: str, mark: str) -> str:
    return text.partition(mark)[0].strip()


def _opening(turns: list[dict[str, str]]) -> str | None:
    return next((turn["content"] for turn in turns if turn["role"] == "user"), None)


_ALL: tuple[Callable[..., Fields], ...] = (
    *(
        agieval,
        alpacaeval,
        arc_challenge,
        bbh,
        bixbench_file,
        blend,
        blend_file,
        culturebench,
        gsm8k,
        infinite_chat_open,
    ),
    *(kaleidoscope, kaleidoscope_file, math, mbpp, tablemwp_free_text_file, tablemwp_multiple_choice_file),
    *(truthfulqa, wildchat),
)
FUNCTIONS = {function.__name__: function for function in _ALL}


def parameters(name: str) -> list[str]:
    """Return the columns that a function reads."""
    return list(signature(FUNCTIONS[name]).parameters)
