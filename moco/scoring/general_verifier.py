"""Scorers of short answers that a model compares with the reference, where rules alone do not accept them."""

import re
from collections.abc import Sequence

from moco.prompts import blocks
from moco.scoring.base import SCORERS, BatchScorer, Case, Extraction, Scorer, Tools, Verdict
from moco.scoring.exact_match import ExactMatchPaper, ExactMatchPaper11, ExactMatchStrict
from moco.scoring.judged import models_of
from moco.scoring.multiple_choice import MultipleChoiceStrict
from moco.tasks.item import LETTERS, Question, Reference

ACCEPTED, REFUSED = "Final Decision: Yes", "Final Decision: No"
_DECISION = re.compile(r"\bfinal\s+decision\W+(yes|no)\b", re.IGNORECASE)
_NO_ANSWER = "The reply gives no answer."


def verifier_prompt(question: str, gold: str, answer: str) -> str:
    """Return the prompt that asks the verifier whether an answer says the same as the reference."""
    return blocks.compose(
        blocks.instruction("You check whether a student answer agrees with the reference answer."),
        blocks.block("question", question, shrinks=False),
        blocks.block("reference answer", gold, shrinks=False),
        blocks.block("student answer", answer),
        blocks.instruction(
            "Take the reference as right and do not solve the question yourself. Other notation, units left out or"
            " further explanation make no difference; another value does."
        ),
        blocks.instruction(f"The last line of your verdict is either {ACCEPTED} or {REFUSED}."),
    )


def decision(text: str) -> bool | None:
    """Return what the last decision line of a verdict says, or None without one."""
    found = _DECISION.findall(text)
    return None if not found else found[-1].lower() == "yes"


class GeneralVerifierPaper(BatchScorer):
    """Asks the verifier about every reply; a positive decision line anywhere in its reply counts.

    The original doubles every brace before it asks; under the rules of the paper it cuts an answer at its first closing
    brace.

    Args:
        rules: Reads answers.
    """

    def __init__(self, rules: Scorer) -> None:
        self._rules = rules

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the text that the original rules read out of a reply; it may be empty."""
        return self._rules.extract(question, reply)

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return the text that the original rules compare."""
        return self._rules.normal_form(question, parsed)

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return 1 for every reply that the verifier accepts."""
        captures = [case.extracted if case.given else self.extract(case.question, case.text).parsed for case in cases]
        prompts = [
            verifier_prompt(
                *map(_doubled, (case.question.prompt, _paper_gold(case), (capture or "").strip() or _NO_ANSWER))
            )
            for case, capture in zip(cases, captures, strict=True)
        ]
        verdicts = models_of(tools).verify(prompts) if prompts else []
        return [
            Verdict(float(ACCEPTED in text), capture, "judge") for capture, text in zip(captures, verdicts, strict=True)
        ]


class GeneralVerifierStrict(BatchScorer):
    """Compares by rules first, and asks the verifier only about an answer that they do not accept.

    `rule` says who decided: `rules`, `judge`, or `undecided` for a verdict without a decision line, which counts as no.
    Details: `extraction`, the rule that read the answer.
    """

    def extract(self, question: Question, reply: str) -> Extraction:
        """Return the option or the answer that a reply declares, or None."""
        found = _rules(question).extract(question, reply)
        if found.parsed is None and question.options is not None:
            return ExactMatchStrict().extract(question, reply)
        return found

    def normal_form(self, question: Question, parsed: str) -> str:
        """Return one text for all spellings of an answer."""
        return _rules(question).normal_form(question, parsed)

    def score_all(self, cases: Sequence[Case], tools: Tools) -> list[Verdict]:
        """Return 1 for every answer that the rules or the verifier accept."""
        captures = [
            Extraction(case.extracted, "given") if case.given else self.extract(case.question, case.text)
            for case in cases
        ]
        verdicts = [_by_rules(case, found) for case, found in zip(cases, captures, strict=True)]
        prompts = [
            _prompt(case, str(found.parsed))
            for case, found, verdict in zip(cases, captures, verdicts, strict=True)
            if verdict is None
        ]
        replies = iter(models_of(tools).verify(prompts) if prompts else [])
        return [
            _judged(found, decision(next(replies))) if verdict is None else verdict
            for found, verdict in zip(captures, verdicts, strict=True)
        ]


def _rules(question: Question) -> Scorer:
    return ExactMatchStrict() if question.options is None else MultipleChoiceStrict()


def _by_rules(case: Case, found: Extraction) -> Verdict | None:
    """Return the verdict of the rules, or None for an answer that they do not accept and that the judge shall see."""
    if not case.reference.valid or not _golds(case.question, case.reference):
        return Verdict(None, found.parsed, found.rule, "invalid")
    if found.parsed is None or not found.parsed.strip():
        return Verdict(0.0, None, found.rule, "unparsed")
    if _rules(case.question).score_extracted(case.question, case.reference, found.parsed).score:
        return Verdict(1.0, found.parsed, "rules", details={"extraction": found.rule})
    return None


def _prompt(case: Case, answer: str) -> str:
    gold = " or ".join(_golds(case.question, case.reference))
    return verifier_prompt(case.question.prompt, gold, _shown(case.question, answer))


def _judged(found: Extraction, accepted: bool | None) -> Verdict:
    rule = "undecided" if accepted is None else "judge"
    return Verdict(float(bool(accepted)), found.parsed, rule, details={"extraction": found.rule})


def _golds(question: Question, reference: Reference) -> list[str]:
    if reference.gold_kind == "option":
        index = reference.gold["index"]
        return [] if index is None else [_shown(question, LETTERS[index])]
    golds = reference.gold if isinstance(reference.gold, list) else [reference.gold]
    return [str(gold) for gold in golds if gold is not None and str(gold).strip()]


def _shown(question: Question, answer: str) -> str:
    """Return an option's letter together with its text, and any other answer as it is."""
    options = question.options or ()
    letter = answer.strip().upper()
    place = LETTERS.find(letter) if len(letter) == 1 else -1
    return f"{letter}) {options[place]}" if 0 <= place < len(options) else answer


def _paper_gold(case: Case) -> str:
    gold = case.reference.gold
    if case.reference.gold_kind == "option":
        options, index = case.question.options or (), gold["index"]
        return options[index] if index is not None else ""
    return ", ".join(map(str, gold)) if isinstance(gold, list) else "" if gold is None else str(gold)


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


SCORERS.add("general_verifier/paper", GeneralVerifierPaper(ExactMatchPaper()))
SCORERS.add("general_verifier/paper-1.1", GeneralVerifierPaper(ExactMatchPaper11()))
SCORERS.add("general_verifier/strict", GeneralVerifierStrict())
