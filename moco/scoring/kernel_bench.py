"""Scorers of programs that speed up a PyTorch model: whether they are correct, and how much faster."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from moco.scoring import kernel_trial
from moco.scoring.base import SCORERS, BatchScorer, Case, Extraction, Tools, Verdict
from moco.scoring.code_blocks import UNREADABLE, parsed
from moco.scoring.code_text import Target, extract_code
from moco.scoring.coding import original_extraction, permitted
from moco.tasks.item import Question

_FASTEST = {1: 10.0, 2: 5.0, 3: 2.0}
"""Speed-up by level from which a kernel gets the full score."""

_SLOW = 0.25
_FAST = 0.5
_FIRST = 0
_CLASS = "ModelNew"
_KERNEL = re.compile(r"__global__|\btriton\s*\.\s*jit\b|\bfrom\s+triton\s+import\b[^\n]*\bjit\b")


def kernel_score(result: Mapping[str, Any] | None, level: int | None) -> float:
    """Return the score of a measurement.

    Args:
        result: `compiled`, `correctness`, and the times `runtime` and `ref_runtime`, not positive where not taken; None:
            nothing could be measured.
        level: Of the item, which says what counts as fast.

    Returns:
        0 for what is not correct, 0.25 for what is not faster, 0.5 to 1 by the speed-up.
    """
    if not result or not result.get("compiled") or not result.get("correctness"):
        return 0.0
    own, reference = (float(result.get(name) or -1) for name in ("runtime", "ref_runtime"))
    if own <= 0 or reference <= own:
        return _SLOW
    cap = _FASTEST.get(level or 1, _FASTEST[1])
    return _FAST + min(1 - _FAST, (1 - _FAST) * (reference / own - 1) / (cap - 1))


class _KernelBench(BatchScorer):
    """What both rule sets share: one reply at a time has the GPU.

    Without a GPU, or in a sandbox, which has none, replies are unscored, also those that could not run anyway: a mean
    over the latter alone would say something else. An item may hold a measurement of its own, which is scored then.

    Args:
        inputs: Random inputs on which a kernel must be correct.
    """

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the program without the white space around it."""
        return parsed.strip()

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return one verdict per case, in order.

        Raises:
            RequestError: Code may not run.
        """
        found = [
            Extraction(case.extracted, "given") if case.given else self.extract(case.question, case.text)
            for case in cases
        ]
        if not all("result" in case.reference.gold for case in cases):
            permitted(tools)
        can_run = tools.code is not None and tools.code.isolation == "limits" and kernel_trial.has_cuda()
        return [self._verdict(case, each, can_run=can_run) for case, each in zip(cases, found, strict=True)]

    def _verdict(self, case: Case, found: Extraction, *, can_run: bool) -> Verdict:
        gold = case.reference.gold
        if "result" in gold:
            return Verdict(kernel_score(gold["result"], gold["level"]), found.parsed, f"{found.rule}/recorded")
        fault = "no_code" if found.parsed is None else self.fault(found.parsed)
        if not can_run:
            return Verdict(None, found.parsed, f"{found.rule}/{fault or 'no_gpu'}", "unscored")
        if found.parsed is None or fault:
            return Verdict(0.0, found.parsed, f"{found.rule}/{fault}", "unparsed" if found.parsed is None else "ok")
        result = kernel_trial.measure(gold["source"], found.parsed, self._inputs)
        word = "correct" if result["correctness"] else "wrong" if result["compiled"] else "error"
        details = {name: float(result[name]) for name in ("runtime", "ref_runtime") if result[name] > 0}
        return Verdict(kernel_score(result, gold["level"]), found.parsed, f"{found.rule}/{word}", details=details)

    def fault(self, source: str) -> str | None:
        """Return why a program need not be tried, or None."""
        raise NotImplementedError


class KernelBenchPaper(_KernelBench):
    """Scores by the rules of release 1.1.2: one input, and a reply may just call PyTorch."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the first fenced block that the original rules see, or the reply."""
        return original_extraction(reply, _FIRST)

    def fault(self, source: str) -> str | None:
        """Return why a program need not be tried, or None."""
        return None if parsed(source) else "syntax_error"


class KernelBenchStrict(_KernelBench):
    """Scores programs that define a kernel of their own and are correct on several inputs."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the program that defines the new model, or None."""
        return extract_code(reply, Target(entry_point=_CLASS))

    def fault(self, source: str) -> str | None:
        """Return why a program need not be tried, or None."""
        try:
            tree = ast.parse(source)
        except UNREADABLE:
            return "syntax_error"
        if not any(isinstance(node, ast.ClassDef) and node.name == _CLASS for node in ast.walk(tree)):
            return "no_model"
        return None if _KERNEL.search(source) else "no_kernel"


for _rules in ("paper", "paper-1.1"):
    SCORERS.add(f"kernel_bench/{_rules}", KernelBenchPaper(inputs=1))
SCORERS.add("kernel_bench/strict", KernelBenchStrict(inputs=5))
