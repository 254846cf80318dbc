"""Scorers of drug design: a function that tells molecules apart, or a molecule that keeps to constraints.

The two kinds of items have scores of their own, which no mean should mix: `details` names the score by its kind.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from moco.prompts.wordings import FUNCTION
from moco.scoring.base import SCORERS, BatchScorer, Case, Extraction, Tools, Verdict
from moco.scoring.code_text import Target, extract_code
from moco.scoring.coding import original_extraction, permitted
from moco.scoring.judged import spoken
from moco.scoring.molecules import broken_constraints, molecule_in, readable, require_rdkit
from moco.scoring.sandbox.runs import Allowance, Runner, Solution
from moco.tasks.item import Question, Reference

_PACKAGES = ("rdkit", "numpy")
_ALLOWANCE = Allowance(seconds=60, memory=512 << 20)
_ANSWER = "answer_of_this_program"
_FIRST = 0


class _Smdd(BatchScorer):
    """What both rule sets share: replies are tried side by side, and each on its own."""

    def normal_form(self, question: Question, parsed: str) -> str:  # noqa: ARG002
        """Return the text with single blanks."""
        return " ".join(parsed.split())

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return one verdict per case, in order.

        Raises:
            RequestError: RDKit is not installed, or code may not run.
        """
        if not cases:
            return []
        require_rdkit()
        run = permitted(tools) if any(case.reference.gold_kind == "pharmacophore" for case in cases) else None
        with ThreadPoolExecutor(max(1, tools.workers)) as pool:
            return list(pool.map(lambda case: self._judged(case, run), cases))

    def _judged(self, case: Case, run: Runner | None) -> Verdict:
        found = Extraction(case.extracted, "given") if case.given else self._read(case)
        if run is not None and case.reference.gold_kind == "pharmacophore":
            return self._tried(case.reference, found, run)
        return self._checked(case.reference, found)

    def _read(self, case: Case) -> Extraction:
        raise NotImplementedError

    def _tried(self, reference: Reference, found: Extraction, run: Runner) -> Verdict:
        raise NotImplementedError

    def _checked(self, reference: Reference, found: Extraction) -> Verdict:
        raise NotImplementedError


class SmddPaper(_Smdd):
    """Scores by the rules of release 1.1.2: the shown molecules are among the hidden ones, answers must be truth values."""

    def extract(self, question: Question, reply: str) -> Extraction:  # noqa: ARG002
        """Return the reply: which kind of item it answers, only the reference says."""
        return Extraction(reply, "reply")

    def _read(self, case: Case) -> Extraction:
        if case.reference.gold_kind == "pharmacophore":
            return original_extraction(case.text, _FIRST)
        return Extraction(case.text, "reply")

    def _tried(self, reference: Reference, found: Extraction, run: Runner) -> Verdict:
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed")
        gold = reference.gold
        return _told_apart(found, found.parsed, FUNCTION, gold["actives"], gold["decoys"], run)

    def _checked(self, reference: Reference, found: Extraction) -> Verdict:
        smiles = molecule_in(found.parsed or "")
        return _designed(found, smiles, reference)


class SmddStrict(_Smdd):
    """Scores on molecules that were not shown; of molecules that were designed, only the constraints are checked."""

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the program, or else the molecule, that a reply gives; None without one."""
        text = spoken(reply)
        if not text:
            return Extraction(None, "empty")
        if f"{FUNCTION}(" in question.question:
            return extract_code(reply, Target(entry_point=FUNCTION, preamble=""))
        smiles = molecule_in(text)
        return Extraction(smiles, "none" if smiles is None else "molecule")

    def _read(self, case: Case) -> Extraction:
        return self.extract(case.question, case.text)

    def _tried(self, reference: Reference, found: Extraction, run: Runner) -> Verdict:
        gold = reference.gold
        shown = set(gold["shown"])
        actives, decoys = ([each for each in gold[name] if each not in shown] for name in ("actives", "decoys"))
        if not reference.valid or not any(map(readable, actives)) or not any(map(readable, decoys)):
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed", {"pharmacophore": 0.0})
        source = f"{found.parsed}\n\ndef {_ANSWER}(smiles):\n    return bool({FUNCTION}(smiles))\n"
        return _told_apart(found, source, _ANSWER, actives, decoys, run)

    def _checked(self, reference: Reference, found: Extraction) -> Verdict:
        if not reference.valid or not readable(reference.gold["reference"]):
            return Verdict(None, found.parsed, found.rule, "invalid")
        if found.parsed is None:
            return Verdict(0.0, None, found.rule, "unparsed", {"lead_opt_constraints": 0.0})
        return _designed(found, found.parsed, reference)


def _designed(found: Extraction, smiles: str | None, reference: Reference) -> Verdict:
    broken = ["readable"] if smiles is None else broken_constraints(smiles, reference.gold["reference"])
    score = float(not broken)
    details: dict[str, float | str] = {"lead_opt_constraints": score}
    if broken:
        details["broken"] = ", ".join(broken)
    return Verdict(score, found.parsed, found.rule, details=details)


def _told_apart(
    found: Extraction, source: str, entry_point: str, actives: Sequence[str], decoys: Sequence[str], run: Runner
) -> Verdict:
    """Return the mean of the shares of actives called True and of decoys called False; 0 where anything fails."""
    kept = [[each for each in of_kind if readable(each)] for of_kind in (actives, decoys)]
    test = (
        f"def check(candidate):\n"
        f"    actives, decoys = {json.dumps(kept)}\n"
        f"    found = sum([candidate(each) is True for each in actives])\n"
        f"    refused = sum([candidate(each) is False for each in decoys])\n"
        f"    raise AssertionError('counts {{}} {{}}'.format(found, refused))\n"
    )
    outcome = run.tested(Solution(source, "", test, entry_point, _PACKAGES), _ALLOWANCE)
    said = outcome.detail.split()
    if outcome.status != "wrong" or said[:1] != ["counts"]:
        return Verdict(0.0, found.parsed, f"{found.rule}/{outcome.status}", details={"pharmacophore": 0.0})
    shares = [int(count) / len(of_kind) if of_kind else 0.0 for count, of_kind in zip(said[1:], kept, strict=True)]
    score = sum(shares) / len(shares)
    details = {"pharmacophore": score, "recall": shares[0], "specificity": shares[1]}
    return Verdict(score, found.parsed, f"{found.rule}/ran", details=details)


for _rules in ("paper", "paper-1.1"):
    SCORERS.add(f"smdd/{_rules}", SmddPaper())
SCORERS.add("smdd/strict", SmddStrict())
