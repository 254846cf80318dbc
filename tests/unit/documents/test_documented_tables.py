"""Tables of the documents, each against the code that it speaks of."""

import gzip
import inspect
import json
import re
from importlib import import_module
from math import prod
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors import safe_open
from support.documents import ROOT, codes, rows, tables_in, text_of
from support.plans import plan
from support.shards import reply

from moco import paths
from moco.bundle.licences import FREE, WITHHELD, terms_of
from moco.cli import VERBS
from moco.config import reference
from moco.config.datasets import dataset, dataset_names
from moco.config.evolution import EvolutionEntry, Lineage, Mix, Variant
from moco.config.study import Study
from moco.config.tasks import TaskEntry
from moco.errors import RequestError
from moco.methods.state import FIT
from moco.store.artifacts import KINDS, ArtifactStore
from moco.store.generations import GENERATED, GenerationStore
from moco.tasks.sources import open_source
from moco.tasks.sources.gold import open_gold
from moco.tasks.sources.structured import STRUCTURED, structured
from moco.tasks.sources.table import placed_rows
from moco.workflow.analysis import COLLECTED
from moco.zoo import roster


def rules():
    """Return every rule of the workflow, and whether snakemake runs it where it is itself."""
    found = {}
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        for text in re.split(r"^(?=rule |use rule )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            found[re.match(r"(?:use rule \w+ as |rule )(\w+)", text)[1]] = "\n    localrule: True" in text
    return found


def test_the_reference_of_settings_is_what_the_code_gives():
    text = text_of("config/README.md")
    assert text[text.index(reference.MARK) :] == reference.reference(), "run make reference"


def test_tables_and_figures_that_a_study_can_have():
    task = {"source": {"kind": "synthetic", "skills": ["add"]}, "distill": 0.5}
    instructions = {"source": {"kind": "moco", "path": "x.json"}, "type": "ifeval"}
    made = plan(
        tasks={"t": task, "i": instructions},
        methods={"text_majority_vote": {}, "text_multiagent_finetuning": {}},
        also_score=["paper"],
        evolution={"e": {"pool": "p", "methods": ["text_majority_vote"], "tasks": ["t"]}},
    )
    names = [name for name in (*made.tables, *made.figures) if not name.startswith("evo_")]
    of_rounds = [name for name in (*made.tables, *made.figures) if name.startswith("evo_")]
    listed = [table.rows for table in tables_in(text_of("config/README.md")) if table.head == "name | shows"]
    assert [{code for first, _ in each for code in codes(first)} for each in listed] == [set(names), set(of_rounds)]


def test_what_is_submitted_and_what_is_not():
    submitted, local = zip(*rows("docs/cluster.md", "Submitted | Where snakemake runs"), strict=True)
    expected = rules()
    assert set(codes(" ".join(local))) == {name for name, here in expected.items() if here}
    assert set(codes(" ".join(submitted))) == {name for name, here in expected.items() if not here}


def test_formats_of_files(tmp_path):
    (table, options), (whole, source) = rows("docs/add-a-task.md", "Files | `source`")
    content = {
        "JSONL": b'{"question": "a", "answer": "b"}\n',
        "CSV": b"question,answer\na,b\n",
        "TSV": b"question\tanswer\na\tb\n",
    }
    named = re.match(r"([\w, ]+), one a split; all but (\w+) also with `\.gz`", table)
    assert named[1].split(", ") == [*content, named[2]]
    pq.write_table(pa.table({"question": ["a"], "answer": ["b"]}), tmp_path / "x.parquet")
    files = [tmp_path / "x.parquet"]
    for name, data in content.items():
        for path, written in ((f"x.{name.lower()}", data), (f"y.{name.lower()}.gz", gzip.compress(data))):
            (tmp_path / path).write_bytes(written)
            files.append(tmp_path / path)
    for path in files:
        ((_, row),) = placed_rows(path, "test", ["question", "answer"], "utf-8")
        assert dict(row) == {"question": "a", "answer": "b"}, path.name
    with pytest.raises(RequestError, match="unknown file format"):
        placed_rows(tmp_path / "x.parquet.gz", "test", ["question"], "utf-8")
    kind, paths_key, *splits = codes(options)
    entry = {"source": yaml.safe_load(f"{{{kind}, {paths_key}: {dict.fromkeys(splits, 'x.csv')}, columns: {{}}}}")}
    entry["source"]["columns"] = {"question": "question", "gold": "answer"}
    assert set(TaskEntry(**entry, type="exact_match").source.paths) == set(splits)
    found = yaml.safe_load(codes(source)[0])
    assert codes(whole)[:2] == ["dev", "test"]
    items = {
        "task_type": "exact_match",
        **{split: [{"id": "1", "input": "a", "output": "b"}] for split in codes(whole)[:2]},
    }
    for name, write in (("x.json", bytes), ("x.json.gz", gzip.compress)):
        (tmp_path / name).write_bytes(write(json.dumps(items).encode()))
        opened = open_source(TaskEntry(source={**found, "path": str(tmp_path / name)}, type="exact_match"), "")
        assert {split: len(list(each.items())) for split, each in opened.rows.items()} == {"dev": 1, "test": 1}


def test_what_a_gold_means():
    for cell, meaning in rows("docs/add-a-task.md", "Gold | Meaning"):
        for code in codes(cell):
            found = open_gold("exact_match", json.loads(code), "", question="")
            assert (found.kind == "aliases") == meaning.startswith("aliases"), code
            assert (found.kind == "list") == meaning.startswith("one answer, the whole list"), code


VALUES = {
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{}],
    "relevance_genes": ["A"],
    "relevance_scores": [1.0],
    "reference_smiles": "C",
    "input": "text",
    "level": 1,
    **{f"{which}_{kind}": ["C"] for which in ("train", "hidden") for kind in ("actives", "decoys")},
}
FREE_OF_FIELDS = {"kernel_bench": {"level"}}
"""Fields that an item may lack, since its id says the same."""


def test_items_with_fields_of_their_own():
    table = rows("docs/add-a-task.md", "Type | Fields beside `id` and `input`")
    assert [codes(first)[0] for first, _ in table] == sorted(STRUCTURED, key=[codes(f)[0] for f, _ in table].index)
    for first, said in table:
        (name,) = codes(first)
        cases = [{}] if name != "smdd" else [{"subtype": kind} for kind in ("lead_opt", "pharmacophore")]
        for number, case in enumerate(cases):
            # Of smdd, each kind of item has the fields that stand behind its name.
            words = codes(said if name != "smdd" else said.split("; or ")[number].partition(" with ")[2])
            fields = {word: VALUES[word] for word in words if word in VALUES}
            fields.pop("input", None)
            needed = {**fields, **case} if name != "kernel_bench" else {**fields, "input": VALUES["input"]}
            assert structured(name, needed, "").gold
            for word in needed.keys() - FREE_OF_FIELDS.get(name, set()):
                with pytest.raises(RequestError, match=f"field '{word}' is missing"):
                    structured(name, {key: value for key, value in needed.items() if key != word}, "")


def test_ways_of_learning():
    table = rows("docs/evolution.md", "`variants` | what is learnt")
    assert [codes(first)[0] for first, _ in table] == list(get_args(Variant))
    shares = dict(re.findall(r"\(`(\w+)`, ([\d.]+)\)", table[1][1]))
    assert {name: float(share) for name, share in shares.items()} == Mix().model_dump()
    table = rows("docs/evolution.md", "`lineage` | a student of round *t* is trained from")
    assert [codes(first)[0] for first, _ in table] == list(get_args(Lineage))


def test_controls_are_settings_that_an_entry_can_have():
    entry = {"pool": "p", "methods": ["m"], "tasks": ["t"]}
    usual = EvolutionEntry(**entry)
    for control, settings in rows("docs/evolution.md", "control | settings"):
        written = [code for code in codes(settings) if ":" in code]
        assert written
        assert all(code in Study.model_fields for code in codes(settings) if code not in written), control
        for setting in written:
            assert EvolutionEntry(**entry, **yaml.safe_load(setting)) != usual, setting


def test_what_a_bundle_packs():
    (made, *_), (free, *_), (other, *_), (own, *_), (withheld, *_) = table = rows(
        "docs/reproduce.md", "Items of | with `--with-tasks`"
    )
    assert [said.partition(",")[0] for _, said in table] == ["packed", "packed", *["left out"] * 3]
    source = yaml.safe_load(codes(made)[0]) | {"skills": ["add"]}
    assert terms_of(TaskEntry(source=source), with_tasks=True).items
    assert not terms_of(TaskEntry(source=source), with_tasks=False).items
    named = re.match(r"registered datasets under (.*?), as their", free)[1].replace(" or ", ", ").split(", ")
    assert {licence.removesuffix(" 4.0") for licence in FREE} == set(named)
    assert other.startswith("registered datasets under other terms, or whose licence nobody has confirmed")
    assert set(codes(withheld)) == WITHHELD
    table_source = {"kind": "table", "paths": {"test": "x.csv"}, "columns": {"question": "q", "gold": "a"}}
    assert own.startswith("tasks of your own files")
    assert terms_of(TaskEntry(source=table_source, type="exact_match"), with_tasks=True).texts == "replies"
    moco = {"kind": "moco", "path": "x.json"}
    for name in dataset_names():
        known = dataset(name)
        texts = terms_of(TaskEntry(source=moco, dataset=name, type="exact_match"), with_tasks=True).texts
        packed = known.licence.removesuffix(" 4.0") in named and known.licence_known != "memory"
        assert texts == ("none" if name in WITHHELD else "all" if packed else "replies"), name


def test_folders_of_the_store(tmp_path):
    table = rows("docs/store.md", "Folder | What | Named by")
    store = GenerationStore(tmp_path)
    store.partition("a" * 64).write([reply("k")])
    made = {path.parent.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet")}
    for kind in KINDS:
        folder, _ = ArtifactStore(tmp_path, tmp_path / "work").make(
            kind, "a" * 64, lambda output, _: output.mkdir(exist_ok=True)
        )
        made.add(folder.relative_to(tmp_path))
    shown = {
        name.replace("{2}", "aa").replace("{32}", "a" * 32).rstrip("/") for first, *_ in table for name in codes(first)
    }
    assert GENERATED.folder == "generations"
    assert shown == {path.as_posix() for path in made} | {f"measures/aa/{'a' * 32}"}


def written_paths():
    """Return the path of every artifact of `moco/paths.py`, wildcards in braces."""
    braces = {"kind": "options", "part": "{part}", "name": "{name}", "suffix": "{suffix}", "number": "{round}"}

    def path(function, **given):
        names = inspect.signature(function).parameters
        return function(**{name: given.get(name, braces.get(name, f"{{{name}}}")) for name in names})

    made = (
        *(paths.questions, paths.references, paths.task_json, paths.dropped, paths.model_json, paths.tuned),
        *(paths.checkpoint, paths.generation, paths.logits, paths.response_logits, paths.answers, paths.calls),
        *(paths.costs, paths.mixture),
    )
    found = {path(function) for function in made} | {path(paths.logits, kind="reference")}
    found |= {path(paths.collected, name=name) for name in COLLECTED}
    found |= {f"{path(paths.fit_folder)}/{{task}}/{FIT}", f"{path(paths.students)}/{{place}}"}
    return found | {path(paths.fit_folder, batch=paths.ALL) + f"/{paths.ALL}"}


def test_artifacts_and_their_paths():
    table = rows("docs/architecture.md", "Artifact | Path below `results/{study}/` | Verb")
    verbs = {verb for *_, cell in table for verb in codes(cell)}
    assert verbs == {verb for verb in VERBS if verb in rules()} - {"bundle"}  # the files of a replay are the others
    shown = [code.rstrip("/") for _, cell, _ in table for code in codes(cell)]
    for known in written_paths():
        assert any(known == code or known.endswith(f"/{code}") or known.startswith(f"{code}/") for code in shown), known
    whole = [
        code
        for code in shown
        if "{" in code and "/" in code and not code.startswith(("students", "response", "examples"))
    ]
    assert whole
    for code in whole:
        known = {code for each in written_paths() if each == code or each.startswith(f"{code}/")}
        assert known or code == paths.scores("{scorer}", "").rstrip("/"), code


def test_folders_of_the_package():
    table = rows("docs/architecture.md", "Folder | What | Changes when")
    listed = {codes(first)[0] for first, *_ in table}
    packages = {f"moco/{path.parent.name}" for path in (ROOT / "moco").glob("*/__init__.py")}
    assert packages <= listed
    assert all((ROOT / name).is_dir() for name in listed)


def test_requests_on_their_way():
    for what, where, _holds in rows("docs/architecture.md", "What | Where | Holds"):
        module = import_module(codes(where)[0].removesuffix(".py").replace("/", "."))
        for name in codes(what):
            assert inspect.isclass(getattr(module, name)), name
            assert getattr(module, name).__module__ == module.__name__, name


def test_models_of_the_zoo():
    table = rows("docs/zoo.md", "Model | What | Taught")
    assert [name for first, *_ in table for name in codes(first)] == list(roster.ROSTER)
    words = {"one": 1, "two": 2}
    for first, what, taught in table:
        models = [roster.ROSTER[name] for name in codes(first)]
        sizes = [float(size) for size in re.findall(r"([\d.]+) M\b", what)]
        for size, model in zip(sizes, models, strict=bool(sizes)):
            assert round(parameters(model.name) / 1e6, len(str(size).partition(".")[2])) == size, model.name
        assert ("from `base`" in what or "on `base`" in what) == (models[0].parent == "base"), first
        if models[0].adapter:
            for part in ("rank", "alpha"):
                shown = re.search(rf"{part} ([\d, ]+)", what)[1].strip(", ").split(", ")
                assert [int(number) for number in shown] == [getattr(model.adapter, part) for model in models]
        if number := re.match(r"(one|two) skills? in full", taught):
            assert {len(model.skills) for model in models} == {words[number[1]]}
        if models[0].tokenizer != "moco-zoo":
            assert models[0].tokenizer in codes(what)
            pieces = [int(number) for number in re.search(r"(\d+) pieces instead of (\d+)", what).groups()]
            assert pieces == [models[0].shape.vocabulary, roster.Shape().vocabulary]
        if skills := re.search(r"part of ([\w, ]+)", taught):
            assert skills[1].split(", ") == list(models[0].skills)


def parameters(name):
    """Return the number of parameters of a model of the package."""
    (weights,) = Path(ROOT / "moco/zoo/weights" / name).glob("*.safetensors")
    with safe_open(weights, "np") as file:
        return sum(prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118 - no mapping
