"""White space in options: nothing that only the right option has reaches a prompt, and code keeps its form."""

import json

import pytest

from moco.analysis.tables import make_table
from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.blanks import even_blanks
from moco.tasks.checking import check_task
from moco.tasks.prepare import prepare, read_questions, read_references

MARKED = [
    " Quito",
    "Quito ",
    "Quito\n",
    "\tQuito",
    "Quito\u00a0",
    "\u3000Quito",
    "Quito\u200b",
    "\ufeffQuito",
    "Qui\u00adto",
    "\u200eQuito\u200f",
    "Quito\u2060",
    "Quito\u200d",
    " \u200c Quito",
    "Quito\r\n",
    "Quito\u3164",
    "Quito\u2028",
]


@pytest.mark.parametrize("marked", MARKED)
def test_marks_around_and_within_a_text_disappear(marked):
    assert even_blanks(marked) == "Quito"


@pytest.mark.parametrize(
    ("text", "even"),
    [
        ("New  York", "New York"),
        ("New\u00a0York", "New York"),
        ("New \tYork", "New York"),
        ("a\u2009b", "a b"),
        ("Quito.", "Quito."),
        ("QUITO", "QUITO"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("def f(x):\n    return x", "def f(x):\n    return x"),
        ("\n  def f(x):\n      return  x \n\n", "def f(x):\n    return  x"),
        ("if a:\r\n\tb()\r\n", "if a:\n\tb()"),
        ("  one line of code", "one line of code"),
    ],
)
def test_text_and_code_stay(text, even):
    assert even_blanks(text) == even
    assert even_blanks(even) == even


CITIES = ["Lima", "Quito", "Cusco", "Sucre"]


def sources(folder, rows):
    """Return the same items as a table and as a file in MoCo's format."""
    table = folder / "t.jsonl"
    table.write_text("\n".join(json.dumps({"q": q, "o": o, "a": "B"}) for q, o in rows), encoding="utf-8")
    items = [{"question": q, "choices": dict(zip("ABCD", o, strict=True)), "answer": "B"} for q, o in rows]
    own = folder / "m.json"
    dev = [{**items[0], "question": "Which town?"}]
    own.write_text(json.dumps({"dev": dev, "test": items}), encoding="utf-8")
    columns = {"question": "q", "options": "o", "gold": "a"}
    yield {"kind": "table", "gold": "letter", "paths": {"test": str(table)}, "columns": columns}
    yield {"kind": "moco", "path": str(own)}


def test_prompts_do_not_tell_the_right_option_and_the_items_are_counted(tmp_path):
    rows = [(f"Which city has number {n}?", [CITIES[0], mark, *CITIES[2:]]) for n, mark in enumerate(MARKED)]
    rows.append(("Which city?", CITIES))
    for number, source in enumerate(sources(tmp_path, rows)):
        entry = TaskEntry(type="multiple_choice", source=source)
        folder = tmp_path / "tasks" / f"t{number}"
        facts = prepare(f"t{number}", entry, folder, {})
        questions, golds = read_questions(folder, "test"), read_references(folder, "test")
        assert {question.options for question in questions} == {tuple(CITIES)}
        listed = "A) Lima\nB) Quito\nC) Cusco\nD) Sucre\n"
        assert all(question.prompt.startswith(f"{question.question}\n{listed}") for question in questions)
        assert {golds[question.uid].gold["index"] for question in questions} == {1}
        assert facts["splits"]["test"]["evened"] == len(MARKED)
        made = make_table("data_quality", {"study": "s", "tasks": {f"t{number}": {}}}, tmp_path)
        assert made.rows[-1][made.columns.index("blanks evened")] == len(MARKED)
        assert any("evened out" in warning for warning in check_task("t", entry, print).splits["test"].warnings)


def test_a_gold_is_found_by_its_text_whatever_its_blanks(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"q": "Which city?", "o": ["Lima", "New\u00a0York ", "Oslo"], "a": "New York"}))
    columns = {"question": "q", "options": "o", "gold": "a"}
    source = {"kind": "table", "gold": "option_text", "paths": {"test": str(path)}, "columns": columns}
    prepare("t", TaskEntry(type="multiple_choice", source=source), tmp_path / "t", {})
    (gold,) = read_references(tmp_path / "t", "test").values()
    assert gold.gold["index"] == 1


def test_an_option_of_invisible_marks_is_empty(tmp_path):
    for source in sources(tmp_path, [("Which?", ["a", "\u200b\u2060", "b", "c"])]):
        with pytest.raises(RequestError, match="is empty"):
            prepare("t", TaskEntry(type="multiple_choice", source=source), tmp_path / "t", {})
