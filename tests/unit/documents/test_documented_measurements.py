"""What the documents say was measured: it is what a benchmark prints, its sums are right, its limits the benchmark's."""

import ast
import re

import pytest
from support.documents import PAGES, ROOT, codes, rows, tables_in, text_of

from moco.analysis.evidence import VERDICTS, sign_of
from moco.analysis.statistics import Interval

PERFORMANCE = "docs/performance.md"


def benchmark(name):
    return ast.parse((ROOT / f"benchmarks/{name}.py").read_text(encoding="utf-8"))


def constants(tree):
    """Return the numbers that a benchmark assigns to names."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = value.elts if isinstance(value, ast.Tuple) else [value]
            found |= {n.id: v.value for n, v in zip(names, values, strict=False) if isinstance(v, ast.Constant)}
    return found


def defaults(tree):
    """Return the default of every option of a benchmark."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    added = [call for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument"]
    given = ((call.args[0].value, word) for call in added for word in call.keywords if word.arg == "default")
    return {name: word.value.value for name, word in given if isinstance(word.value, ast.Constant)}


def first_arguments(tree, function):
    """Return what calls of a function have in the first place, as patterns in which any text stands for a value."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function and node.args:
            parts = node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]]
            texts = (re.escape(str(part.value)) if isinstance(part, ast.Constant) else r".+" for part in parts)
            found.append("".join(texts))
    return found


def number(cell):
    return float(re.match(r"[\d.,]+", cell)[0].replace(",", ""))


def judged(name):
    """Return the lines of a page that say whether a limit holds, as (what, value, limit)."""
    text = re.sub(r"\n  ", " ", text_of(name))
    line = r"^\* (.+?): ([\d.]+)(?: %)?(?: \([^)]*\))?, at (?:most|least) ([\d.]+)(?: %)?: holds$"
    return {what: (float(value), float(limit)) for what, value, limit in re.findall(line, text, flags=re.MULTILINE)}


def test_generation():
    tree = benchmark("generate")
    table = {
        first: cells
        for first, *cells in rows(
            PERFORMANCE, "What | Processor time | Time | Forward passes | their share of the time | Padding"
        )
    }
    patterns = first_arguments(tree, "show")
    assert all(any(re.fullmatch(pattern, label) for pattern in patterns) for label in table)
    assert all(any(re.fullmatch(pattern, label) for label in table) for pattern in patterns)
    seconds = {label: number(cells[0]) for label, cells in table.items()}
    ours = seconds["moco generate, greedy, no alternatives"]
    best = min((label for label in table if ", greedy, batches of " in label), key=seconds.get)
    size = int(best.rpartition(" ")[2])
    sampled = next(label for label in table if label.startswith("moco generate, sampled"))
    padding = max(number(table[label][-1]) for label in ("moco generate, greedy, no alternatives", sampled))
    limits = constants(tree)
    expected = {
        f"greedy, of the fastest model.generate ({size} rows)": (ours / seconds[best], "GREEDY_LIMIT", 1),
        f"sampled with 20 alternatives, of model.generate ({size} rows)": (
            seconds[sampled] / seconds[f"model.generate, sampled, batches of {size}"],
            "SAMPLED_LIMIT",
            1,
        ),
        "greedy, of model.generate on 8 in file order": (
            ours / seconds["model.generate, greedy, 8 in file order"],
            "FILE_ORDER_LIMIT",
            1,
        ),
        "padding, the larger of the two": (padding, "PADDING_LIMIT", 100),
    }
    said = {what: values for what, values in judged(PERFORMANCE).items() if what in expected}
    assert said.keys() == expected.keys()
    for what, (value, limit, unit) in expected.items():
        assert said[what] == (pytest.approx(value, abs=0.0051), limits[limit] * unit), what
        assert said[what][0] <= said[what][1]
    read, needed = (
        int(found.replace(",", "")) for found in re.search(r"\(([\d,]+) of ([\d,]+)\)", text_of(PERFORMANCE)).groups()
    )
    share, limit = re.search(
        r"all that follows it: ([\d.]+) \(.*?\), at most ([\d.]+): holds", text_of(PERFORMANCE)
    ).groups()
    assert (float(share), float(limit)) == (round(read / needed, 2), limits["OPTIONS_LIMIT"])


def test_training():
    ours, theirs = (
        dict(zip(("tokens", "processor", "speed", "time", "memory"), map(number, cells), strict=True))
        for _, *cells in rows(
            PERFORMANCE, "What | Tokens | Processor time | Tokens per second of it | Time | Peak memory"
        )
    )
    for run in (ours, theirs):
        assert run["speed"] == pytest.approx(run["tokens"] / run["processor"], rel=0.003)
    limits, said = constants(benchmark("training")), judged(PERFORMANCE)
    speed, memory = said["tokens per second of processor time, of trl's"], said["peak memory, of trl's"]
    assert speed == (pytest.approx(ours["speed"] / theirs["speed"], abs=0.0051), limits["SPEED_LIMIT"])
    assert memory == (pytest.approx(ours["memory"] / theirs["memory"], abs=0.0051), limits["MEMORY_LIMIT"])
    assert speed[0] >= speed[1]
    assert memory[0] <= memory[1]


def test_the_demo_of_two_checkouts():
    table = rows(PERFORMANCE, "Run | Before | Now | Ratio")
    assert len(table) == 3
    for run, *cells in table:
        before, now, ratio = map(number, cells)
        # Seconds are rounded to a tenth, ratios were computed before that.
        assert (before - 0.05) / (now + 0.05) - 0.005 <= ratio <= (before + 0.05) / (now - 0.05) + 0.005, run
    shares = re.findall(r"(\d+) %[^%]*?([\d.]+) of ([\d.]+) s", text_of(PERFORMANCE).partition("models work in")[2])[:2]
    assert len(shares) == 2
    assert [int(share) for share, *_ in shares] == [round(100 * float(part) / float(all_)) for _, part, all_ in shares]


def test_first_steps():
    targets = re.search(r"^\.PHONY: (.*)$", text_of("Makefile"), flags=re.MULTILINE)[1].split()
    steps = []
    for step, took, _ in rows(PERFORMANCE, "Step | Time | Of which"):
        (named,) = codes(step)
        assert named.removeprefix("make ") in targets or (ROOT / named).is_file(), step
        assert re.fullmatch(r"(\d+ min )?\d+ s", took), step
        steps.append(named)
    assert len(steps) == 3


def test_the_store():
    options = defaults(benchmark("store"))
    table = rows("docs/store.md", "What | Measured | Aim")
    for what, measured, aim in table:
        found = [(float(value), unit) for value, unit in re.findall(r"([\d.]+) (s|GB|%)(?: \(|,|$|;)", measured)]
        aims = [(float(value), unit) for value, unit in re.findall(r"([\d.]+) (s|GB|%)", aim)]
        found = [each for each in found if each[1] in {unit for _, unit in aims}]
        assert [unit for _, unit in found] == [unit for _, unit in aims], what
        assert all(value <= most for (value, _), (most, _) in zip(found, aims, strict=True)), what
    said = " ".join(what for what, *_ in table)
    assert {int(found.replace(",", "")) for found in re.findall(r"([\d,]+) look-ups", said)} == {options["--asked"]}
    assert f"{options['--replies'] // 20:,} replies" in said
    assert f"{options['--replies'] // 10**6} million replies" in said
    assert f"part of {options['--shards']} shards" in said
    assert f"reply of {options['--tokens']} tokens" in said
    assert f"at {options['--tokens-per-second']:,.0f} tokens/s" in said


def test_verdicts_on_gains_follow_from_their_intervals():
    seen = 0
    for path in PAGES:
        for table in tables_in(path.read_text(encoding="utf-8")):
            if table.head.split(" | ")[-2:] == ["gain over best single, points", "verdict"]:
                for *_, gain, verdict in table.rows:
                    if gain:
                        mean, low, high = map(
                            float, re.fullmatch(r"([-+\d.]+) \[([-\d.]+), ([-\d.]+)\].*", gain).groups()
                        )
                        # The page rounds, so an end at zero may stand for either side.
                        signs = {
                            sign_of(Interval(mean, low + d, high + e, 1))
                            for d in (-0.05, 0, 0.05)
                            for e in (-0.05, 0, 0.05)
                        }
                        assert verdict in {VERDICTS[sign] for sign in signs}, gain
                        seen += 1
    assert seen
