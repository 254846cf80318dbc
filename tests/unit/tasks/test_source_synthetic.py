import pytest
from support.items import load

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.raw import RawItem
from moco.zoo import skills


def test_every_split_with_items_is_asked_for(monkeypatch):
    asked = []

    def items(names, form, split, count, seed):
        asked.append((tuple(names), form, split, count, seed))
        return [RawItem(row, "q", "1", "number") for row in range(count)]

    monkeypatch.setattr(skills, "items", items)
    source = {"kind": "synthetic", "skills": ("a", "b"), "items": {"dev": 2, "test": 1, "train": 0}, "seed": 5}
    found = load(TaskEntry(source=source))
    assert {split: len(rows) for split, rows in found.items()} == {"dev": 2, "test": 1}
    assert asked == [(("a", "b"), "exact", "dev", 2, 5), (("a", "b"), "exact", "test", 1, 5)]


@pytest.mark.parametrize("form", ["exact", "choice"])
def test_real_skills(form):
    source = {"kind": "synthetic", "skills": ("add", "reverse"), "form": form, "items": {"dev": 6, "test": 4}}
    found = load(TaskEntry(source=source))
    assert {split: [item.row for item in rows] for split, rows in found.items()} == {
        "dev": list(range(6)),
        "test": list(range(4)),
    }
    assert all((item.options is not None) == (form == "choice") for rows in found.values() for item in rows)


def test_task_source_is_refused():
    with pytest.raises(RequestError, match="source is the task 'other'"):
        load(TaskEntry(source="other", type="exact_match"))
