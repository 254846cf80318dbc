"""Whatever a setting holds, `moco check` says in the project's own words, one line a mistake, and never breaks."""

import copy
import datetime
import re
from typing import Any

import pytest
import yaml

from moco.cli import main
from moco.config.load import InvalidStudy, study_from
from moco.errors import RequestError
from moco.workflow.check import structural_problems
from moco.workflow.matrix import Matrix

pytestmark = pytest.mark.usefixtures("clean_environment")

STUDY: dict[str, Any] = yaml.safe_load("""
study: s
seeds: [1, 2]
also_score: [paper]
retries: 0
min_coverage: 1.0
scoring: {code: {allow: false, seconds: 10}, verifier: add, least_reward: 0.5}
decoding: {default: {max_new_tokens: 16, temperature: 0.7, top_k: 0}}
engine: {dtype: float64, batch_rows: 4, resident_gb: 8.0}
models:
  add: {kind: zoo, description: adds, seed: 0}
  recall: {kind: zoo, steps: 5}
  loc: {kind: local, path: models/loc, family: llama, parameters: 1000, context: 512}
  lora: {kind: adapter, base: loc, path: models/lora}
  far: {kind: server, endpoint: "http://localhost/v1", name: n, date: 2024-01-02, extra: {a: 1}, requests: {concurrency: 2}}
  hub: {kind: hub, repo: o/n, revision: 0123456789012345678901234567890123456789}
pools:
  p: [add, recall]
  q: {models: [add, recall], descriptions: [adds, recalls]}
tasks:
  t: {source: {kind: synthetic, skills: [add], items: {dev: 4, test: 4}}, limit: {dev: 3}, distill: 0.25, answers: 1}
  own: {source: {kind: table, paths: {test: t.jsonl}, columns: {question: q, gold: a}}, type: exact_match}
  gsm8k: {limit: {test: 5}, source: {where: [{column: question, missing: false}]}}
  evo: {source: own}
methods:
  text_majority_vote: {tie: random}
  mine: {method: text_multiagent_refine, rounds: 2}
compare:
  - {pools: [p], tasks: all, methods: [mine], singles: [add]}
  - {pools: all}
site: {use_gpu: false}
""")
VALUES = [None, True, float("nan"), -1, 10**30, "", "5", "no such", [], [None], {}, {"kind": "x"}, {1: 2}]
VALUES += [datetime.date(2024, 1, 1), "a/b"]
FOREIGN = re.compile(
    r"input should|valid |validat|pydantic|dictionary|instance of|tuple|NoneType|unicode|\bdict\b|union|discriminator",
    re.IGNORECASE,
)


def places(value, path=()):
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield from places(item, (*path, key))


def changed(path, value):
    study = copy.deepcopy(STUDY)
    place = study
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return study


def problems(content):
    try:
        return structural_problems(study_from(content, "s.yaml"))
    except InvalidStudy as error:
        return error.problems


def test_the_study_itself_has_no_mistake():
    assert problems(copy.deepcopy(STUDY)) == []


@pytest.mark.parametrize("section", STUDY)
def test_every_value_of_every_key_is_taken_or_told_in_one_line(section):
    for path in places(STUDY[section], (section,)):
        for value in VALUES:
            for problem in problems(changed(path, value)):
                line = problem.line("s.yaml")
                assert not FOREIGN.search(line.replace("'", "")), (path, value, line)
                assert "\n" not in line
                assert problem.remedy, (path, value, line)


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (
            "seeds.0",
            True,
            "seeds.0: is the truth value true, as which YAML also reads yes, no, on and off without quotes",
        ),
        ("seeds.0", "1", "seeds.0: is the text '1'; write a whole number"),
        ("seeds.0", 1.5, "seeds.0: is the number 1.5; write a whole number"),
        ("seeds.0", -1, "seeds.0: -1 is too small; write a number of at least 0"),
        ("seeds.0", 2**31, "seeds.0: 2147483648 is too large; write a number of less than 2,147,483,648"),
        ("seeds", [], "seeds: is empty; write a list of whole numbers"),
        ("retries", None, "retries: is empty (null); write a whole number"),
        ("scoring.code.allow", "yes", "scoring.code.allow: is the text 'yes'; write true or false"),
        ("scoring.code.allow", 1, "scoring.code.allow: is the number 1; write true or false"),
        (
            "decoding.default.temperature",
            float("inf"),
            "decoding.default.temperature: inf is not finite; write a number",
        ),
        ("decoding.default.temperature", True, "decoding.default.temperature: is the truth value true"),
        ("decoding.default.temperature", "0.7", "decoding.default.temperature: is the text '0.7'; write a number"),
        ("models.loc.parameters", float("nan"), "models.loc.parameters: nan is not finite; write a number"),
        ("models.far.extra.a", float("nan"), "models.far.extra.a: nan is not finite; write a number"),
        ("models.far.extra.a", datetime.date(2024, 1, 1), "models.far.extra.a: is the date 2024-01-01"),
        ("models.far.date", "2024-13-01", "models.far.date: '2024-13-01' is no day; write YYYY-MM-DD"),
        ("models.loc.path", "", "models.loc.path: is empty; write a text"),
        ("models.lora.repo", "nowhere", "models.lora.repo: 'nowhere' is no repository; write owner/name"),
        ("models.hub.repo", "../x", "models.hub.repo: '../x' is no repository; write owner/name"),
        ("pools.p", [False, "add"], "pools.p.models.0: is the truth value false"),
        ("pools.p", None, "pools.p: is empty (null); write a mapping (key: value)"),
        ("tasks.t.source.items.dev", -4, "tasks.t.source.items.dev: -4 is too small; write a number of at least 0"),
        ("tasks.t.limit.dev", -1, "tasks.t.limit.dev: leaves no dev item; allow at least one"),
        ("tasks.t.limit", [], "tasks.t.limit: is a list; write a mapping (key: value)"),
        ("tasks.t.domain", 7, "tasks.t.domain: is the number 7; write a name, in quotes if it is this"),
        ("tasks.t.source.skills", ["add", "add"], "tasks.t.source.skills: 'add' is written twice"),
        ("tasks.t.source.form", "open", "tasks.t.source.form: 'open' is none of its choices; write exact or choice"),
        ("tasks.t.bad_rows", "drop", "tasks.t: bad_rows: drop is for files, and the source is synthetic; leave it out"),
        ("methods.mine.rounds", True, "methods.mine.rounds: is the truth value true"),
        ("methods.mine", False, "methods.mine: is the truth value false"),
        ("compare.0.pools", {}, "compare.0.pools: is a mapping; write a list of names, or all"),
        ("compare.0.pools", ["p", 1], "compare.0.pools.1: is the number 1; write a name, in quotes if it is this"),
        ("models", {False: {"kind": "zoo"}}, "models.False: the name is the truth value false"),
        ("decoding.default.max_new_tokens", 512, "decoding.default.max_new_tokens: 512 new tokens leave no room"),
    ],
)
def test_what_is_wrong_and_what_would_be_right(path, value, line):
    keys = tuple(int(key) if key.isdigit() else key for key in path.split("."))
    content = changed(keys, value)
    content["pools"] = content["pools"] | ({"small": ["loc"]} if "tokens" in path else {})
    lines = [problem.line("s.yaml") for problem in problems(content)]
    assert [each for each in lines if each.startswith(f"s.yaml: {line}")], lines


@pytest.mark.parametrize("text", ["1e-4", "2E3", "-1.5e2", ".5e1"])
def test_a_number_with_an_exponent_is_one_though_yaml_takes_it_for_a_text(text):
    assert isinstance(yaml.safe_load(text), str)
    study = study_from(changed(("scoring", "least_reward"), text), "s.yaml")
    assert study.scoring.least_reward == float(text)


NAMES = {
    "tasks that differ in case only": ({"tasks": {"T": {"source": "t"}}}, "tasks.T: differs from 't' in case only"),
    "models that differ in case only": ({"models": {"Add": {"kind": "zoo", "recipe": "sort"}}}, "models.Add: differs"),
    "pools that differ in case only": ({"pools": {"P": ["add"]}}, "pools.P: differs from 'p' in case only"),
    "presets that differ in case only": ({"decoding": {"Default": {}}}, "decoding.Default: differs from 'default'"),
    "methods that differ in case only": ({"methods": {"Mine": {"method": "control_random"}}}, "methods.Mine: differs"),
    "domains that differ in case only": (
        {"tasks": {"u": {"source": "t", "domain": "General"}}},
        "tasks.u.domain: differs",
    ),
    "long name": ({"pools": {"e" * 300: ["add"]}}, f"pools.{'e' * 300}: name of 300 characters; use at most 100"),
    "reserved name": ({"pools": {"all": ["add"]}}, "pools.all: 'all' stands for all pools in a comparison"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_become_one_file_are_refused(name):
    changes, line = NAMES[name]
    content = copy.deepcopy(STUDY)
    for section, entries in changes.items():
        content[section] |= entries
    lines = [problem.line("s.yaml") for problem in problems(content)]
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"s.yaml: {line}")


def test_long_names_together_are_cut_to_a_path_that_every_file_system_takes():
    content = copy.deepcopy(STUDY)
    content["pools"] = {"p" * 90: ["add", "recall"]}
    content["tasks"] = {"t" * 90: STUDY["tasks"]["t"]}
    content |= {"methods": {"m" * 90: {"method": "weight_greedy_soup"}}, "compare": [{}]}
    assert problems(content) == []
    made = Matrix(study_from(content, "s.yaml")).made
    assert made
    assert all(re.fullmatch(r".{1,91}-[0-9a-f]{8}", name) and len(name) <= 100 for name in made)


YAML = {
    "a model named no": ("models:\n  no: {kind: zoo}\n", 'line 2: the key no is read as a truth value; write "no"'),
    "a null key": ("models:\n  ~: {kind: zoo}\n", "line 2: the key ~ is read as null"),
    "octal": ("retries: 010\n", 'line 1: 010 is read to base 8, as 8; write 8, or "010" in quotes if it is a text'),
    "sexagesimal": ("retries: 1:30\n", "line 1: 1:30 is read to base 60, as 90"),
    "sexagesimal float": ("min_coverage: 0:30.5\n", "line 1: 0:30.5 is read to base 60, as 30.5"),
    "a key twice": ("retries: 1\nretries: 2\n", "line 2: key 'retries' is written twice"),
}


@pytest.mark.parametrize("name", YAML)
def test_what_yaml_reads_in_its_own_way_is_told_with_its_line(name, tmp_path, capsys):
    text, line = YAML[name]
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    assert main(["check", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}: {line}")


def test_what_yaml_reads_as_meant_is_left_alone(tmp_path):
    from moco.config.load import read_yaml

    path = tmp_path / "s.yaml"
    path.write_text('\ufeffa: {"no": 1, on-line: 0x10, "010": "010", d: 0, e: 0.5, f: yes, g: 1_000, h: "1:30"}\n')
    assert read_yaml(path)["a"] == {
        "no": 1, "on-line": 16, "010": "010", "d": 0, "e": 0.5, "f": True, "g": 1000, "h": "1:30",
    }  # fmt: skip


def test_a_value_that_holds_itself_is_one_line(tmp_path, capsys):
    path = tmp_path / "s.yaml"
    path.write_text("study: s\npools: {p: &a [*a]}\n", encoding="utf-8")
    assert main(["check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "pools.p.0: holds itself (by an anchor of YAML)" in line


def test_a_file_in_latin_1_is_one_line_that_says_what_to_do(tmp_path):
    from moco.config.load import read_yaml

    path = tmp_path / "s.yaml"
    path.write_bytes("study: é\n".encode("latin-1"))
    with pytest.raises(RequestError, match=r"cannot be read \(it is not UTF-8\); name a YAML file, saved as UTF-8"):
        read_yaml(path)


def test_all_mistakes_are_told_at_once_those_of_files_included(tmp_path, capsys):
    content = copy.deepcopy(STUDY)
    content["modles"] = {}
    content["seeds"] = [True]
    content["models"]["hub"]["revision"] = None
    content["models"]["bad"] = {"kind": "zoo", "steps": 0}
    content["pools"]["r"] = ["add", "bad"]
    content["pools"]["s"] = ["add", "nobody"]
    content["tasks"]["u"] = {"source": {"kind": "synthetic", "skills": ["addd"]}}
    content["methods"] = {"api_prompt_routing": {}, "x": {"method": "control_random", "y": 1}}
    content["compare"] = [{}]
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["check", str(path), "--results", str(tmp_path / "results")]) == 2
    keys = [line.removeprefix(f"{path}: ").split(": ")[0] for line in capsys.readouterr().err.splitlines()]
    assert sorted(keys) == [
        "methods.x",
        "models.bad.steps",
        "models.hub.revision",
        "models.loc.path",
        "models.lora.path",
        "pools.s",
        "seeds.0",
        "tasks.own.source",
        "tasks.u.source.skills",
        "unknown key 'modles'; did you mean models or methods?",
    ]
