"""Folders laid out as the hub's dataset repositories, with constructed rows for every registered dataset."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Row = dict[str, Any]

LETTERS = "ABCD"


def write_repository(
    base: Path, repository: str, parts: Mapping[str | None, Mapping[str, Sequence[Row]]], form: str = "parquet"
) -> Path:
    """Write a dataset repository: configuration (None: the default one) to split to rows."""
    folder = base / repository
    configs = []
    for config, splits in parts.items():
        name = config or "default"
        files = []
        for split, rows in splits.items():
            path = folder / name / f"{split}.{form}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if form == "parquet":
                pq.write_table(pa.Table.from_pylist(list(rows)), path)
            else:
                path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
            files.append({"split": split, "path": f"{name}/{path.name}"})
        configs.append({"config_name": name, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': configs})}---\n", encoding="utf-8")
    return folder


def mark(i: int) -> str:
    """Return the text by which tests recognise item `i`."""
    return f"Nr{i}."


def _choice(i: int, **extra: Any) -> Row:
    """Return an item of multiple choice in MoCo's format; its gold moves with `i`."""
    choices = {letter: f"option {letter} of {i}" for letter in LETTERS}
    return {"id": str(i), "question": f"Which? {mark(i)}", "choices": choices, "answer": LETTERS[i % 4], **extra}


def _open(i: int, output: Any, **extra: Any) -> Row:
    return {"id": str(i), "input": f"What? {mark(i)}", "output": output, **extra}


def _options(i: int) -> list[str]:
    return list(_choice(i)["choices"].values())


def _right_first(i: int) -> list[str]:
    options = _options(i)
    return [options[i % 4], *(option for place, option in enumerate(options) if place != i % 4)]


def _table(i: int) -> Row:
    return {"table_title": None if i % 2 else "Games", "table": f"a | b\n{i} | 2", "question": f"What? {mark(i)}"}


def _gpqa(i: int) -> Row:
    texts = _right_first(i)
    wrong = {f"Incorrect Answer {place}": texts[place] for place in (1, 2, 3)}
    return {"Question": f"Which? {mark(i)}", "Correct Answer": texts[0], **wrong, "Further": 1}


_AGIEVAL: tuple[Callable[[int], Row], Callable[[int], Row]] = (
    lambda i: {
        "query": f"Q: Which? {mark(i)} Answer Choices: (A)a (B)b\nA: Among A through D, the answer is",
        "choices": [f"({letter}){text}" for letter, text in zip(LETTERS, _options(i), strict=True)],
        "gold": [i % 4],
    },
    _choice,
)
_BBH = ["(B)", "True", "] ]", "17", "no", "(A)", "valid", "5"]
_STATEMENT = ["True", "False", "False", "False"]
_VALENCE = {"Supports": "A", "Opposes": "B", "Either": "C"}

ROWS: dict[str, tuple[Callable[[int], Row], Callable[[int], Row]]] = {
    "agieval": _AGIEVAL,
    "agieval_tiny": _AGIEVAL,
    "arc_challenge": (
        lambda i: {
            "id": str(i),
            "question": f"Which? {mark(i)}",
            "choices": {"text": _options(i), "label": list("1234" if i % 2 else LETTERS)},
            "answerKey": ("1234" if i % 2 else LETTERS)[i % 4],
        },
        _choice,
    ),
    "mmlu_redux": (
        lambda i: {
            "question": f"Which? {mark(i)}",
            "choices": _options(i),
            "answer": i % 4,
            "error_type": "ok",
            "source": None if i else "book",
        },
        _choice,
    ),
    "bbh": (
        lambda i: {"input": f"What? {mark(i)}\nOptions:\n(A) a\n(B) b", "target": _BBH[i % 8]},
        lambda i: {
            **_open(i, _BBH[i % 8].strip("()") if "(" in _BBH[i % 8] else _BBH[i % 8]),
            "input": f"What? {mark(i)}\nOptions:\n(A) a\n(B) b",
        },
    ),
    "gsm8k": (
        lambda i: {"question": f"What? {mark(i)}", "answer": f"First #{i}.\nThen.\n#### 1,{i:03}"},
        lambda i: _open(i, f"1,{i:03}"),
    ),
    "math": (
        lambda i: {
            "problem": f"What? {mark(i)}",
            "level": "Level 5",
            "type": "Algebra",
            "solution": f"So $\\boxed{{0}}$, rather $\\boxed{{\\frac{{{i}}}{{2}}}}$." if i != 3 else "No box.",
        },
        lambda i: _open(i, f"\\frac{{{i}}}{{2}}" if i != 3 else None),
    ),
    "theoremqa": (
        lambda i: {
            "Question": f"What? {mark(i)}",
            "Answer": "True" if i % 2 else f"{i}.5",
            "Answer_type": "bool" if i % 2 else "float",
            "Picture": None,
        },
        lambda i: _open(i, "True" if i % 2 else f"{i}.5", answer_type="bool" if i % 2 else "float"),
    ),
    "tablemwp_multiple_choice": (
        lambda i: {
            **_table(i),
            "choices": _options(i),
            "answer": _options(i)[i % 4],
            "ques_type": "multi_choice",
            "unit": None,
        },
        _choice,
    ),
    "tablemwp_free_text": (
        lambda i: {**_table(i), "choices": None, "answer": f"{i}/7", "ques_type": "free_text", "unit": "oz"},
        lambda i: _open(i, f"{i}/7"),
    ),
    "wikidyk": (
        lambda i: {"question": f"What? {mark(i)}", "answer": f"Name {i}", "fact": f"that Name {i}", "year": "2022"},
        lambda i: _open(i, f"Name {i}", fact=f"that Name {i}", year="2022"),
    ),
    "popqa": (
        lambda i: {
            "id": i,
            "question": f"What? {mark(i)}",
            "possible_answers": json.dumps([f"Name, {i}", "é"]),
            "s_pop": 3,
            "o_pop": 4,
        },
        lambda i: _open(i, json.dumps([f"Name, {i}", "é"]), s_pop=3, o_pop=4),
    ),
    "truthfulqa": (
        lambda i: {
            "question": f"Which? {mark(i)}",
            "mc1_targets": {"choices": _right_first(i), "labels": [1, 0, 0, 0]},
            "mc2_targets": {"choices": ["x"], "labels": [1]},
        },
        _choice,
    ),
    "ifeval": (
        lambda i: {
            "key": i,
            "prompt": f"Write. {mark(i)}",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [{"num_words": None}, {"num_words": 10 + i, "relation": "at least"}],
        },
        lambda i: {
            "id": str(i),
            "input": f"Write. {mark(i)}",
            "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"],
            "kwargs": [{}, {"num_words": 10 + i, "relation": "at least"}],
        },
    ),
    "assaybench": (
        lambda i: {"input": f"Rank. {mark(i)}", "relevance_genes": ["TP53", "MYC"], "relevance_scores": [0.5, i + 0.0]},
        lambda i: {
            "id": str(i),
            "input": f"Rank. {mark(i)}",
            "relevance_genes": ["TP53", "MYC"],
            "relevance_scores": [0.5, i + 0.0],
        },
    ),
    "coconot": (
        lambda i: {
            "id": str(i),
            "category": "Unsupported requests" if i % 2 else "Humanizing requests",
            "subcategory": "modality",
            "prompt": f"What? {mark(i)}",
            "response": "",
        },
        lambda i: {
            "id": i,
            "input": f"What? {mark(i)}",
            "category": "Unsupported requests" if i % 2 else "Humanizing requests",
        },
    ),
    "sciriff": (
        lambda i: {
            "input": f"What? {mark(i)}",
            "output": "Background" if i % 2 else "Uses",
            "_instance_id": f"acl_arc_intent_classification:x:{i}",
            "metadata": {"domains": ["ai"]},
        },
        lambda i: _open(i, "Background" if i % 2 else "Uses"),
    ),
    "gpqa_diamond": (_gpqa, _choice),
    "gpqa_main": (_gpqa, _choice),
    "gpqa_extended": (_gpqa, _choice),
    "medmcqa": (
        lambda i: {
            "id": f"m{i}",
            "question": f"Which? {mark(i)}",
            **dict(zip(("opa", "opb", "opc", "opd"), _options(i), strict=True)),
            "cop": i % 4,
            "subject_name": "Anatomy" if i % 2 else "Surgery",
        },
        _choice,
    ),
    "medqa": (
        lambda i: {
            "question": f"Which? {mark(i)}",
            "answer": _options(i)[i % 4],
            "options": _choice(i)["choices"],
            "meta_info": "step1",
            "answer_idx": LETTERS[i % 4],
        },
        _choice,
    ),
    "pubmedqa": (
        lambda i: {
            "pubid": i,
            "question": f"What? {mark(i)}",
            "context": {"contexts": ["First.", "Second."], "labels": ["A", "B"]},
            "final_decision": "yes" if i % 2 else "maybe",
        },
        lambda i: _open(i, "yes" if i % 2 else "maybe"),
    ),
    "mbpp": (
        lambda i: {
            "task_id": i,
            "text": f"Write a function. {mark(i)}",
            "code": "def f(x):\n    return x",
            "test_list": [f"assert set(twice_{i}({n})) == {{{n}}}" for n in range(3)],
            "test_setup_code": "LIMIT = 3" if i % 2 else "",
        },
        lambda i: {
            "id": i,
            "input": f"What? {mark(i)}",
            "test": "def check(candidate):\n    pass\n",
            "language": "python",
        },
    ),
    "humaneval": (
        lambda i: {
            "task_id": f"HumanEval/{i}",
            "prompt": f'import re\n\ndef helper_{i}():\n    """{mark(i)}"""\n',
            "canonical_solution": "    return 1\n",
            "test": f"def check(candidate):\n    assert candidate() == {i}\n",
            "entry_point": f"helper_{i}",
        },
        lambda i: {
            "id": f"HumanEval/{i}",
            "input": f"What? {mark(i)}",
            "test": f"def check(candidate):\n    assert candidate() == {i}\n",
            "language": "python",
        },
    ),
    "blend": (
        lambda i: {
            "MCQID": f"Foo_{i}",
            "ID": f"Foo-{i // 2}",
            "country": "Greece" if i % 2 else "China",
            "prompt": f"Which? {mark(i)} Without any explanation, choose only one.\n\nA. a\nB. b\n\nAnswer:",
            "choices": json.dumps(_choice(i)["choices"]),
            "answer_idx": LETTERS[i % 4],
        },
        lambda i: {**_choice(i), "question": f"Which? {mark(i)} Without any explanation, choose.\nA. a\n\nAnswer:"},
    ),
    "culturebench": (
        lambda i: {
            "data_idx": i,
            "question_idx": i // 4,
            "prompt_question": f"Which food? {mark(i)}",
            "prompt_option": f"option {i}",
            "answer": _STATEMENT[i % 4] == "True",
            "country": "Chile",
        },
        lambda i: _open(i, _STATEMENT[i % 4], question_id=str(i // 4), country="Chile"),
    ),
    "culturalbench_hard": (
        lambda i: {
            "data_idx": i,
            "question_idx": i,
            "prompt_question": f"Which? {mark(i)}",
            **{f"prompt_option_{letter.lower()}": text for letter, text in _choice(i)["choices"].items()},
            "answer": LETTERS[i % 4],
            "country": "Chile",
        },
        _choice,
    ),
    "kaleidoscope": (
        lambda i: {
            "situation": f"Walking {mark(i)}",
            "vrd": "Duty",
            "text": f"Duty {i}",
            "valence": list(_VALENCE)[i % 3],
            "explanation": "",
        },
        lambda i: {
            "id": i,
            "question": f"Value/Right/Duty: Duty {i}\n\nSituation: Walking {mark(i)}",
            "choices": {"A": "Support", "B": "Oppose", "C": "Either support or oppose"},
            "answer": list(_VALENCE.values())[i % 3],
        },
    ),
    "alpacaeval": (
        lambda i: {"instruction": f"What? {mark(i)}", "input": "" if i % 2 else "More.", "output": f"Reply {i}"},
        lambda i: _open(i, f"Reply {i}"),
    ),
    "wildchat": (
        lambda i: {
            "conversation_hash": f"h{i}",
            "conversation": [{"role": "user", "content": f"What? {mark(i)}"}, {"role": "assistant", "content": "So."}],
            "language": "English",
            "toxic": False,
        },
        lambda i: {"id": f"h{i}", "input": f"What? {mark(i)}"},
    ),
    "infinite_chat_open": (
        lambda i: {
            "conversation_id": f"h{i}",
            "messages": [{"role": "user", "content": f"What? {mark(i)}"}, {"role": "assistant", "content": "So."}],
        },
        lambda i: {"id": f"h{i}", "input": f"What? {mark(i)}"},
    ),
    "infinite_chat_diversity": (
        lambda i: {"query": f"What? {mark(i)}"},
        lambda i: {"id": i, "input": f"What? {mark(i)}", "output": "", "reference": []},
    ),
}
"""A row of the source, and the same item in MoCo's format, by dataset and item number."""
