"""Everything that is wrong with the rows of a task, and what is odd about them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.prompts.blocks import task_prompt
from moco.tasks.blanks import even_blanks
from moco.tasks.item import Question
from moco.tasks.layout import split_layout, task_type
from moco.tasks.leakage import REASONS, contradictions, find_drops
from moco.tasks.outline import Outline, outline
from moco.tasks.prepare import broken_reason
from moco.tasks.raw import RawItem
from moco.tasks.selection import grouping, select_from
from moco.tasks.sources import SplitRows, open_source

LONG_PROMPT = 16_000
"""Characters (about 4,000 tokens): many models would see only the end of a longer prompt."""

ONE_SIDED = 0.9
"""Share of one gold answer from which a constant reply looks like skill."""

_LISTED = 5


@dataclass
class SplitCheck:
    """What was found in one split of a source.

    Attributes:
        rows: Number of rows.
        bad: Number of rows that are no items.
        warnings: What the user should know of the good ones, one sentence each.
    """

    rows: int = 0
    bad: int = 0
    warnings: list[str] = field(default_factory=list)


@dataclass
class TaskCheck:
    """What was found in a task.

    Attributes:
        splits: By split of the source.
        faults: Number of mistakes; 0 if the task can be prepared.
        warnings: What concerns the whole task.
    """

    splits: dict[str, SplitCheck] = field(default_factory=dict)
    faults: int = 0
    warnings: list[str] = field(default_factory=list)


def check_task(name: str, entry: TaskEntry, report: Callable[[RequestError], None]) -> TaskCheck:
    """Read all rows of a task and go on after bad ones.

    Args:
        name: Name of the task.
        entry: The task; its source must not be another task.
        report: Is told every mistake as it is found: file, split, row, what, what to do.
    """
    found = TaskCheck()

    def fault(error: RequestError) -> None:
        found.faults += 1
        report(error)

    where = f"tasks.{name}"
    try:
        split_layout(entry, where)
        kind = task_type(entry, where)
        splits = open_source(entry, where).rows
    except RequestError as error:
        fault(error)
        return found
    outlines = {}
    for split, rows in splits.items():
        found.splits[split] = SplitCheck()
        outlines[split] = _check_split(found.splits[split], rows, kind, grouping(entry), fault)
    if not found.faults:
        try:
            select_from(entry, outlines, where)
        except RequestError as error:
            fault(error)
    found.warnings = _overlaps(outlines, entry.splits)
    return found


def _check_split(
    check: SplitCheck,
    rows: SplitRows,
    kind: str,
    group: Callable[[RawItem], RawItem],
    fault: Callable[[RequestError], None],
) -> list[Outline]:
    outlines: list[Outline] = []
    odd: dict[str, list[int]] = {}
    try:
        for result in rows:
            check.rows += 1
            if isinstance(result, RequestError):
                check.bad += 1
                fault(result)
                continue
            outlines.append(outline(group(result)))
            for oddity in _oddities(result, kind):
                odd.setdefault(oddity, []).append(result.row)
    except RequestError as error:  # of the file: nothing can be read after it
        fault(error)
    ids = Counter(item.src_id for item in outlines if item.src_id)
    again = [item.row for item in outlines if ids[item.src_id] > 1]
    if again:
        odd["id that occurs several times (allowed, since nothing is keyed by it)"] = again
    if contradicted := contradictions(outlines):
        odd["asked twice with different answers, and so not scored"] = sorted(contradicted)
    check.warnings = [f"{oddity}: {listed_rows(numbers)}" for oddity, numbers in odd.items()]
    golds = Counter(item.gold for item in outlines)
    if golds and golds.most_common(1)[0][1] > ONE_SIDED * len(outlines) and len(outlines) > 1:
        share = golds.most_common(1)[0][1] / len(outlines)
        check.warnings.append(f"{share:.0%} of the items have the same gold: a constant reply is right that often")
    return outlines


def _oddities(item: RawItem, kind: str) -> list[str]:
    found = []
    broken = broken_reason(item)
    if broken is not None:
        found.append(f"cannot be scored ({broken}), and so kept as invalid")
    options = None if item.options is None else tuple(map(even_blanks, item.options))
    if options is not None and len(set(options)) < len(options):
        found.append("an option that is listed twice")
    if options != item.options:
        found.append("white space or invisible marks in options, which are evened out")
    question = Question(
        uid="", task="", split="", type=kind, question=item.question, prompt="", options=options, domain=""
    )
    if len(task_prompt(question)) > LONG_PROMPT:
        found.append(f"prompt of more than {LONG_PROMPT:,} characters, of which models may see only the end")
    return found


def _overlaps(outlines: dict[str, list[Outline]], splits: str) -> list[str]:
    rows: dict[tuple[str, str], list[int]] = {}
    for drop in find_drops(outlines):
        rows.setdefault((drop.split, drop.reason), []).append(drop.item.row)
    fate = "left out" if splits == "clean" else "kept, as splits: upstream asks"
    return [f"{split}: {REASONS[reason]}; {fate}: {listed_rows(numbers)}" for (split, reason), numbers in rows.items()]


def listed_rows(numbers: Sequence[int]) -> str:
    """Return the number of rows and the first of them."""
    shown = ", ".join(map(str, numbers[:_LISTED])) + (", ..." if len(numbers) > _LISTED else "")
    return f"{len(numbers)} {'row' if len(numbers) == 1 else 'rows'} ({shown})"
