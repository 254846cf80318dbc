"""Scorers of programs: code is taken out of a reply and tried on the item's tests, apart from this machine."""

import ast
import re
from abc import abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from moco.errors import RequestError
from moco.scoring.assertions import called_name
from moco.scoring.base import SCORERS, BatchScorer, Case, CodeTools, Extraction, Tools, Verdict
from moco.scoring.code_blocks import parsed
from moco.scoring.code_text import Target, extract_code, target_of
from moco.scoring.sandbox.guest.checker import free_names
from moco.scoring.sandbox.runs import Allowance, Runner, Solution, runner
from moco.tasks.item import Question, Reference

_MIB = 1 << 20
_PYTHON = "python"
_FENCE = "```"
_PAPER_OTHER_FENCE = re.compile(r"```\s*\n?(.*?)```", re.DOTALL)
_PAPER_DEFINITION = re.compile(r"def\s+(\w+)\s*\(")
_PAPER_ALLOWANCE = Allowance(seconds=10, memory=512 * _MIB)
_STANDARD_NAMES = frozenset({"math", "os", "random", "re", "string", "sys"})


def permitted(tools: Tools) -> Runner:
    """Return what runs code that models wrote.

    Raises:
        RequestError: It may not run, or not in the isolation that is asked for.
    """
    if tools.code is None:
        raise RequestError(
            "code that models wrote is not executed without permission",
            where="scoring.code.allow",
            remedy="set it to true",
        )
    return runner(tools.code.isolation)


class _Coding(BatchScorer):
    """What both rule sets share: replies are tried side by side, and each on its own."""

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the program without comments and layout."""
        return _layout_free(parsed)

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return one verdict per case, in order.

        Raises:
            RequestError: Code may not run, or not in the isolation that is asked for.
        """
        if not cases:
            return []
        run = permitted(tools)
        code = tools.code or CodeTools()
        with ThreadPoolExecutor(max(1, tools.workers)) as pool:
            return list(pool.map(lambda case: self._judged(case, run, code), cases))

    @abstractmethod
    def _judged(self, case: Case, run: Runner, code: CodeTools) -> Verdict:
        """Score one program."""


class CodingPaper(_Coding):
    """Scores programs by the original rules: the exit status decides, whatever the program does to get there.

    Args:
        block: Which of the fenced blocks counts: -1, the last, or 0, the first.
    """

    def __init__(self, block: int) -> None:
        self._block = block

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the fenced block that the original rules take, or the reply."""
        return original_extraction(reply, self._block)

    def _judged(self, case: Case, run: Runner, code: CodeTools) -> Verdict:  # noqa: ARG002
        language = str(case.reference.meta.get("language") or _PYTHON)
        found = (
            Extraction(case.extracted, "given") if case.given else original_extraction(case.text, self._block, language)
        )
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        if language.lower() != _PYTHON:
            return Verdict(0.0, found.parsed, f"{found.rule}/language")
        program = _paper_program(found.parsed, str(case.reference.gold["test"]))
        ended = run.program(program, _PAPER_ALLOWANCE, b"AssertionError")
        passed = ended.code == 0 and not ended.said
        status = "timeout" if ended.code is None else "passed" if passed else "wrong" if ended.said else "error"
        return Verdict(float(passed), found.parsed, f"{found.rule}/{status}")


class CodingStrict(_Coding):
    """Scores programs by tests that run apart from them: no program can say about itself that it passed."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the program that defines what the prompt asks for, or None."""
        return extract_code(reply, target_of(question.question))

    def _judged(self, case: Case, run: Runner, code: CodeTools) -> Verdict:
        target = _target(case.question, case.reference)
        found = Extraction(case.extracted, "given") if case.given else extract_code(case.text, target)
        test = str((case.reference.gold or {}).get("test", ""))
        if not case.reference.valid or is_broken(test, target):
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None or not found.parsed.strip():
            return Verdict(0.0, None, f"{found.rule}/no_code", "unparsed")
        entry_point = target.entry_point or _last_definition(found.parsed) or ""
        solution = Solution(found.parsed, target.preamble, test, entry_point)
        outcome = run.tested(solution, Allowance(code.seconds, code.memory_mb * _MIB))
        return Verdict(float(outcome.status == "passed"), found.parsed, f"{found.rule}/{outcome.status}")


def is_broken(test: str, target: Target) -> bool:
    """Tell whether no solution can pass: nothing is tested, or what is tested on is defined nowhere.

    A name that is called may be a class that the solution defines; a name that is only read may not.
    """
    tree = parsed(test)
    if tree is None or not any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(tree)):
        return True
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    own = {name for name in free_names(f"{target.preamble}\n{test}") if name not in _STANDARD_NAMES}
    return bool(own - called - {target.entry_point, "candidate"}) or _wraps_the_wrong_call(tree, target)


def _wraps_the_wrong_call(tree: ast.Module, target: Target) -> bool:
    """Tell whether the candidate is called with its own result, where the shown assertion converted that result."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "candidate"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Call)
        and isinstance(node.args[0].func, ast.Name)
        and node.args[0].func.id == target.entry_point
        for node in ast.walk(tree)
    )


def _target(question: Question, reference: Reference) -> Target:
    """Return what a reply has to define: what the gold says, or else what the prompt shows."""
    target = target_of(question.question)
    gold: dict[str, Any] = reference.gold or {}
    entry_point = gold.get("entry_point") or target.entry_point or _tested_name(str(gold.get("test", "")))
    return replace(target, entry_point=entry_point, preamble=gold.get("preamble") or target.preamble)


def _tested_name(test: str) -> str | None:
    tree = parsed(test)
    assertions = [node for node in (tree.body if tree else []) if isinstance(node, ast.Assert)]
    return called_name(assertions[0]) if assertions else None


def _last_definition(source: str) -> str | None:
    tree = parsed(source)
    named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = [node.name for node in (tree.body if tree else []) if isinstance(node, named)]
    return names[-1] if names else None


def original_extraction(reply: str, block: int, language: str = _PYTHON) -> Extraction:
    """Return a fenced block of those that the original rules see, or the trimmed reply.

    Args:
        reply: The reply.
        block: Which of them: -1, the last, or 0, the first.
        language: Of the code, as a fence names it.
    """
    fenced = reply[: reply.rfind(_FENCE) + len(_FENCE)] if _FENCE in reply else ""
    for rule, pattern in (("fence", _paper_fence(language)), ("other_fence", _PAPER_OTHER_FENCE)):
        blocks = pattern.findall(fenced)
        if blocks:
            return Extraction(blocks[block].strip(), rule)
    return Extraction(reply.strip(), "reply")


def _paper_fence(language: str) -> re.Pattern[str]:
    return re.compile(rf"```(?:{re.escape(language)})?\s*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def _paper_program(source: str, test: str) -> str:
    """Return the file that the original rules run; its first line leaves two modules imported."""
    definition = _PAPER_DEFINITION.search(source)
    binding = f"candidate = {definition[1]}" if definition else ""
    return f"import os, sys\n{source}\n\n{binding}\n{test}\n\ncheck(candidate)\n"


def _layout_free(source: str) -> str:
    tree = parsed(source)
    return source.strip() if tree is None else ast.unparse(tree)


SCORERS.add("coding/paper", CodingPaper(-1))
SCORERS.add("coding/paper-1.1", CodingPaper(0))
SCORERS.add("coding/strict", CodingStrict())
