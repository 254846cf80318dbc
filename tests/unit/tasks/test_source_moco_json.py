import gzip
import json

import pytest
from support.items import load

from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.tasks.raw import RawItem

CHOICE = {"id": 7, "question": "Pick.", "choices": {"1": "red", "id": "blue"}, "answer": "id", "domain": "art", "x": 1}
OPEN = {"id": "a", "input": "How many?", "output": "3"}


def from_file(path, task_type):
    return load(TaskEntry(source={"kind": "moco", "path": str(path)}, type=task_type))


@pytest.fixture
def write(tmp_path):
    def write(dev, test=(OPEN,), **top):
        path = tmp_path / "set.json"
        path.write_text(json.dumps({"name": "set", "dev": dev, "test": list(test), **top}), encoding="utf-8")
        return path

    return write


def test_multiple_choice_keeps_stored_order_and_key(write):
    found = from_file(write([CHOICE], [CHOICE]), "multiple_choice")
    assert found["dev"] == [
        RawItem(
            row=0,
            question="Pick.",
            gold={"index": 1, "key": "id"},
            gold_kind="option",
            options=("red", "blue"),
            src_id="7",
            domain="art",
            meta={"x": 1},
        )
    ]
    assert list(found) == ["dev", "test"]


def test_group_meta_and_invalid_gold(write):
    item = {**OPEN, "output": None, "question_id": "12", "country": "Chile"}
    found = from_file(write([OPEN, item]), "exact_match")["dev"]
    assert found[0] == RawItem(0, "How many?", "3", "number", src_id="a")
    assert found[1] == RawItem(
        1, "How many?", None, "none", src_id="a", group="12", valid=False, meta={"country": "Chile"}
    )


def test_alias_list_keeps_its_source_text_in_meta(write):
    text = '["Madrid", "Madrid, Spain"]'
    found = from_file(write([{**OPEN, "output": text}]), "f1_match")
    assert found["dev"][0].gold == ["Madrid", "Madrid, Spain"]
    assert found["dev"][0].meta == {"output": text}
    assert found["test"][0].gold == "3"
    assert found["test"][0].meta == {}


def test_other_task_types(write):
    code = {"input": "Write f.", "test": "def check(c): pass", "language": "python"}
    found = from_file(write([code], [code]), "coding")["dev"][0]
    assert found.gold == {"test": code["test"], "entry_point": None, "preamble": ""}
    assert found.meta == {"language": "python"}
    diverse = {"input": "Sing.", "output": "", "reference": ["la", "li"]}
    found = from_file(write([diverse], [diverse]), "generation_diversity")["dev"][0]
    assert (found.gold, found.gold_kind, found.meta) == (["la", "li"], "aliases", {"output": ""})
    request = {"input": "Do it.", "category": "Unsupported requests"}
    found = from_file(write([request], [request]), "noncompliance")["dev"][0]
    assert (found.gold, found.gold_kind) == ("Unsupported requests", "category")
    assert from_file(write([{"input": "Hi."}]), "reward_model")["dev"][0].gold is None
    assert from_file(write([CHOICE], [OPEN]), "general_verifier")["dev"][0].gold_kind == "option"


def test_repeated_ids_are_allowed(write):
    assert [item.row for item in from_file(write([OPEN, OPEN]), "exact_match")["dev"]] == [0, 1]


def test_byte_order_mark_and_compression(write, tmp_path):
    path = write([OPEN])
    plain = from_file(path, "exact_match")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert from_file(path, "exact_match") == plain
    packed = tmp_path / "set.json.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert from_file(packed, "exact_match") == plain


def changed(item, **changes):
    return {key: value for key, value in {**item, **changes}.items() if value is not ...}


@pytest.mark.parametrize(
    ("task_type", "item", "message"),
    [
        ("exact_match", changed(OPEN, output=...), "field 'output' is missing"),
        ("exact_match", changed(OPEN, input=...), "field 'input' is missing"),
        ("exact_match", changed(OPEN, input=" \n"), "question is empty"),
        ("exact_match", changed(OPEN, input=5), "question is a number, not a text"),
        ("exact_match", changed(OPEN, input=None), "question is null, not a text"),
        ("exact_match", changed(OPEN, output={}), "gold is an object"),
        ("exact_match", changed(OPEN, id=[1]), "id is a list"),
        ("exact_match", changed(OPEN, input="half \ud800"), "surrogate"),
        ("exact_match", ["no", "object"], "item is a list, not an object"),
        ("exact_match", CHOICE, "field 'input' is missing"),
        ("noncompliance", OPEN, "field 'category' is missing"),
        ("coding", OPEN, "field 'test' is missing"),
        ("generation_diversity", changed(OPEN, reference=[1]), "gold lists a number"),
        ("multiple_choice", changed(CHOICE, answer="C"), "answer is 'C', not one of the options '1', 'id'"),
        ("multiple_choice", changed(CHOICE, answer=None), "answer is null"),
        ("multiple_choice", changed(CHOICE, answer=...), "field 'answer' is missing"),
        ("multiple_choice", changed(CHOICE, choices={"A": "x", "B": None}), "option 'B' is null"),
        ("multiple_choice", changed(CHOICE, choices={"A": "x", "B": 2}), "option 'B' is a number"),
        ("multiple_choice", changed(CHOICE, choices={"A": "x", "B": ""}), "option 'B' is empty"),
        ("multiple_choice", changed(CHOICE, choices={"id": "x"}), "has 1 options"),
        ("multiple_choice", changed(CHOICE, choices={str(n): "x" for n in range(27)}), "has 27 options"),
        ("multiple_choice", changed(CHOICE, choices=["x", "y"]), "choices is a list"),
        ("multiple_choice", changed(CHOICE, question=...), "field 'question' is missing"),
    ],
)
def test_malformed_item_is_one_line_with_file_split_and_row(write, task_type, item, message):
    good = {"multiple_choice": CHOICE, "noncompliance": {"input": "q", "category": "c"}}.get(
        task_type, {**OPEN, "test": "t"}
    )
    path = write([good, good, item], [good])
    with pytest.raises(RequestError, match=message) as caught:
        from_file(path, task_type)
    text = str(caught.value)
    assert text.startswith(f"{path}: dev row 2: ")
    assert "\n" not in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"dev": [', "is not JSON"),
        (b"", "is not JSON"),
        (b"[]", "is a list, not an object"),
        (b'{"dev": {}, "test": []}', "dev: is an object, not a list"),
        (b'{"test": []}', "dev: split is missing"),
        (b'{"dev": [], "test": []}', "dev: split is empty"),
        ('{"dev": "ü"}'.encode("latin-1"), "is not UTF-8"),
        ('{"dev": []}'.encode("utf-16"), "is UTF-16, not UTF-8"),
        (b'{"dev": [{"input": "q", "output": NaN}]}', "NaN is not a JSON number"),
        (b'{"dev": [{"input": "q", "input": "p"}]}', "key 'input' occurs twice"),
        (b"[" * 100_000, "is nested too deeply|is not JSON"),
        (b'{"dev": [{"input": "q", "output": 1e999}], "test": []}', "dev row 0: cannot be stored"),
    ],
)
def test_malformed_file_is_one_line(tmp_path, content, message):
    path = tmp_path / "set.json"
    path.write_bytes(content)
    with pytest.raises(RequestError, match=message) as caught:
        from_file(path, "exact_match")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_damaged_compression(write, tmp_path):
    packed = gzip.compress(write([OPEN] * 50).read_bytes())
    path = tmp_path / "set.json.gz"
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    for content, message in [
        (packed[:-20], "compressed data end too early"),
        (b"plain text", "cannot be read"),
        (bytes(damaged), "cannot be read|too early"),
    ]:
        path.write_bytes(content)
        with pytest.raises(RequestError, match=message):
            from_file(path, "exact_match")


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(RequestError, match=r"absent\.json: file is missing"):
        from_file(tmp_path / "absent.json", "exact_match")
    with pytest.raises(RequestError, match="cannot be read"):
        from_file(tmp_path, "exact_match")


def test_type_must_be_declared(write):
    with pytest.raises(RequestError, match="type is missing"):
        from_file(write([OPEN]), None)


def sorted_file(write):
    """A file that is sorted by domain and cut in the middle of the second of three."""
    rows = [{**OPEN, "id": str(place), "domain": "aabbcc"[place // 2]} for place in range(12)]
    return write(rows[:6], rows[6:])


def test_a_stratified_cut_gives_both_splits_the_same_share_of_every_domain(write):
    source = {"kind": "moco", "path": str(sorted_file(write)), "stratify": True}
    found = load(TaskEntry(source=source, type="exact_match"))
    for split in ("dev", "test"):
        assert [item.domain for item in found[split]] == ["a", "a", "b", "b", "c", "c"]
        assert [str(item.row) for item in found[split]] == [item.src_id for item in found[split]]
    assert {item.row for items in found.values() for item in items} == set(range(12))
    assert load(TaskEntry(source=source, type="exact_match", seed=5)) == found


def test_upstream_splits_are_those_of_the_file_whatever_the_source_says(write):
    source = {"kind": "moco", "path": str(sorted_file(write)), "stratify": True}
    found = load(TaskEntry(source=source, type="exact_match", splits="upstream"))
    assert [item.domain for item in found["test"]] == ["b", "b", "c", "c", "c", "c"]
    assert found == load(TaskEntry(source={**source, "stratify": False}, type="exact_match"))
