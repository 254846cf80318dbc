import json

import pyarrow.parquet as pq
import pytest

from moco.config.tasks import TaskEntry
from moco.digest import file_digest
from moco.errors import RequestError, WorkError
from moco.records import read_json, read_provenance
from moco.tasks.item import Question, Reference
from moco.tasks.prepare import prepare, read_questions, read_references

SECRET = "zyzzyva"


def write(path, items):
    path.write_text(json.dumps({"dev": items, "test": items}), encoding="utf-8")
    return path


def entry(path, task_type, **changes):
    return TaskEntry(source={"kind": "moco", "path": str(path)}, type=task_type, **{"splits": "upstream", **changes})


@pytest.fixture
def source(tmp_path):
    items = [{"id": f"s{row}", "input": f"Question {row}?", "output": str(row), "domain": "d"} for row in range(8)]
    items[3]["output"] = None
    return write(tmp_path / "set.json", items)


def test_files_and_facts(source, tmp_path):
    folder = tmp_path / "tasks" / "t"
    task = entry(source, "exact_match", distill=0.25, domain="math", limit={"test": 5})
    facts = prepare("t", task, folder, {"spec": 1})
    assert facts == read_json(folder / "task.json")
    assert (facts["name"], facts["type"], facts["domain"]) == ("t", "exact_match", "math")
    assert {split: found["items"] for split, found in facts["splits"].items()} == {"dev": 6, "distill": 2, "test": 5}
    assert facts["files"] == {str(source): file_digest(source)}
    assert (facts["source"]["kind"], facts["source"]["path"]) == ("moco", str(source))
    assert facts["splits"]["dev"]["valid"] + facts["splits"]["distill"]["valid"] == 7
    provenance = read_provenance(folder / "dev" / "questions.parquet")
    assert (provenance["verb"], provenance["spec"], provenance["inputs"]) == ("prepare", {"spec": 1}, facts["files"])


def test_rows_of_an_open_task(source, tmp_path):
    prepare("t", entry(source, "exact_match"), tmp_path / "t", None)
    questions = read_questions(tmp_path / "t", "dev")
    references = read_references(tmp_path / "t", "dev")
    assert [question.uid for question in questions] == list(references) == [f"t/dev/{row}" for row in range(8)]
    assert questions[1] == Question(
        uid="t/dev/1",
        task="t",
        split="dev",
        type="exact_match",
        question="Question 1?",
        prompt="Question 1?\n\nGive the final answer directly inside \\box{answer}.",
        domain="d",
    )
    assert references["t/dev/1"] == Reference("t/dev/1", "1", "number", src_id="s1")
    assert references["t/dev/3"] == Reference("t/dev/3", None, "none", src_id="s3", valid=False)


def test_rows_of_a_choice_task(tmp_path):
    item = {"id": 1, "question": "Pick.", "choices": {"1": "red", "2": "blue"}, "answer": "2", "level": 3}
    prepare("t", entry(write(tmp_path / "c.json", [item]), "multiple_choice"), tmp_path / "t", None)
    (question,) = read_questions(tmp_path / "t", "test")
    assert question.options == ("red", "blue")
    assert question.prompt == "Pick.\nA) red\nB) blue\nChoose one option and reply with its letter."
    assert read_references(tmp_path / "t", "test") == {
        "t/test/0": Reference("t/test/0", {"index": 1, "key": "2"}, "option", src_id="1", meta={"level": 3})
    }


def test_what_is_cut_off_dev_is_whole_and_keeps_its_rows(source, tmp_path):
    task = entry(source, "exact_match", train=0.25, distill=0.25, limit={})
    facts = prepare("t", task, tmp_path / "t", None)
    found = {split: read_questions(tmp_path / "t", split) for split in ("train", "dev", "distill")}
    assert {split: len(items) for split, items in found.items()} == {"train": 2, "dev": 4, "distill": 2}
    assert facts["splits"]["dev"]["beyond_limit"] == 0
    for split, items in found.items():
        assert list(read_references(tmp_path / "t", split)) == [item.uid for item in items]
        for item in items:
            assert item.uid.startswith(f"t/{split}/")
            assert item.question == f"Question {item.uid.rsplit('/', 1)[1]}?"
    assert sorted(int(item.uid.rsplit("/", 1)[1]) for items in found.values() for item in items) == list(range(8))


def test_distill_items_keep_the_row_of_their_source(source, tmp_path):
    prepare("t", entry(source, "exact_match", distill=0.5), tmp_path / "t", None)
    dev, distill = (read_questions(tmp_path / "t", split) for split in ("dev", "distill"))
    assert all(question.uid.startswith("t/distill/") and question.split == "distill" for question in distill)
    numbers = [int(question.uid.rsplit("/", 1)[1]) for question in dev + distill]
    assert sorted(numbers) == list(range(8))
    assert all(question.question == f"Question {question.uid.rsplit('/', 1)[1]}?" for question in dev + distill)


@pytest.mark.parametrize(
    ("task_type", "item"),
    [
        ("exact_match", {"id": SECRET, "input": "q", "output": SECRET, "question_id": SECRET}),
        ("f1_match", {"input": "q", "output": json.dumps([SECRET]), "fact": SECRET, "year": SECRET}),
        ("noncompliance", {"input": "q", "category": SECRET}),
        ("coding", {"input": "q", "test": SECRET, "language": SECRET}),
        ("reward_model", {"input": "q", "output": SECRET}),
        ("generation_diversity", {"input": "q", "output": "", "reference": [SECRET]}),
        ("text_generation", {"input": "q", "output": SECRET}),
        ("multiple_choice", {"question": "q", "choices": {"A": "x", SECRET: "y"}, "answer": SECRET, "note": SECRET}),
    ],
)
def test_nothing_of_the_gold_reaches_the_questions(tmp_path, task_type, item):
    source = write(tmp_path / "set.json", [item])
    prepare("t", entry(source, task_type, distill=0), tmp_path / "t", {"spec": 1})
    for split in ("dev", "test"):
        path = tmp_path / "t" / split / "questions.parquet"
        table = pq.read_table(path, partitioning=None)
        assert SECRET not in json.dumps(table.to_pylist())
        assert SECRET not in str(table.schema.metadata)
        assert SECRET.encode() not in path.read_bytes()
        assert SECRET in str(read_references(tmp_path / "t", split))
    assert SECRET not in (tmp_path / "t" / "task.json").read_text(encoding="utf-8")


def test_digests_tell_content_and_name_apart(source, tmp_path):
    first = prepare("t", entry(source, "exact_match"), tmp_path / "a", None)
    assert prepare("t", entry(source, "exact_match"), tmp_path / "b", None) == first
    other = json.loads(source.read_text(encoding="utf-8"))
    other["dev"][0]["output"] = "99"
    source.write_text(json.dumps(other), encoding="utf-8")
    second = prepare("t", entry(source, "exact_match"), tmp_path / "c", None)
    assert second["splits"]["dev"]["questions"] == first["splits"]["dev"]["questions"]
    assert second["splits"]["dev"]["references"] != first["splits"]["dev"]["references"]
    assert second["splits"]["test"] == first["splits"]["test"]


def test_synthetic_task(tmp_path):
    source = {"kind": "synthetic", "skills": ("add",), "form": "choice", "items": {"train": 5, "dev": 4, "test": 3}}
    facts = prepare("zoo", TaskEntry(source=source, limit={"train": 2}), tmp_path / "zoo", None)
    assert {split: found["items"] for split, found in facts["splits"].items()} == {"train": 2, "dev": 4, "test": 3}
    assert facts["files"] == {}
    assert facts["type"] == "multiple_choice"
    for question in read_questions(tmp_path / "zoo", "test"):
        gold = read_references(tmp_path / "zoo", "test")[question.uid].gold
        assert 0 <= gold["index"] < len(question.options)


def test_errors_name_the_task(source, tmp_path):
    with pytest.raises(RequestError, match=r"^tasks\.t: type is missing"):
        prepare("t", entry(source, None), tmp_path / "t", None)
    with pytest.raises(RequestError, match=r"^tasks\.t: limit of dev is 0"):
        prepare("t", entry(source, "exact_match", limit={"dev": 0}), tmp_path / "t", None)
    assert not (tmp_path / "t").exists()
    with pytest.raises(WorkError, match="file is missing"):
        read_questions(tmp_path / "t", "dev")


def test_references_name_the_registered_dataset_of_their_task(tmp_path):
    source = {"kind": "synthetic", "skills": ["add"], "items": {"test": 2}}
    prepare("mine", TaskEntry(source=source, dataset="gsm8k"), tmp_path / "known", None)
    prepare("mine", TaskEntry(source=source), tmp_path / "own", None)
    known, own = (read_references(tmp_path / name, "test").values() for name in ("known", "own"))
    assert {item.meta.get("registered_dataset") for item in known} == {"gsm8k"}
    assert {item.meta.get("registered_dataset") for item in own} == {None}
