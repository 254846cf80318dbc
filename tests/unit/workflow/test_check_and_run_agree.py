"""A run reads a configuration as `moco check` does, and refuses what that refuses."""

from types import SimpleNamespace

import pytest
from snakemake.common.configfile import load_configfile

from moco.cli import main
from moco.workflow.start import start

STUDY = """
study: s
models: {add: {kind: zoo}, recall: {kind: zoo}}
pools: {p: [add, recall]}
tasks:
  t: {source: {kind: synthetic, skills: [add], items: {dev: 4, test: 4}}}
  own: {type: exact_match, source: {kind: table, paths: {test: t.jsonl}}}
decoding:
  default: {max_new_tokens: 16, temperature: 0.7}
methods: {control_random: {}}
"""


@pytest.fixture
def both(tmp_path, monkeypatch, capsys):
    """Return what a run and the check say of a configuration."""
    monkeypatch.chdir(tmp_path)
    for name in ("PATH", "PYTHONHASHSEED", "MOCO_STUDY"):
        monkeypatch.setenv(name, "")
    (tmp_path / "t.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n', encoding="utf-8")

    def said(text):
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        code = main(["check", "s.yaml"])
        checked = capsys.readouterr().err.splitlines()
        run = 0
        try:
            workflow = SimpleNamespace(overwrite_configfiles=[path], config_settings=SimpleNamespace(config={}))
            start(load_configfile(path), workflow)
        except SystemExit as stop:
            run = stop.code
        ran = [
            line.removeprefix("moco: ").replace(f"{path}: ", "s.yaml: ")
            for line in capsys.readouterr().err.splitlines()
        ]
        return (code, checked), (run, ran)

    return said


MISTAKES = {
    "key written twice": (
        "  default: {max",
        "  default: {max_new_tokens: 1}\n  default: {max",
        "key 'default' is written twice",
    ),
    "octal": ("max_new_tokens: 16", "max_new_tokens: 016", "016 is read to base 8, as 14"),
    "a model named no": ("models: {", "models: {no: {kind: zoo}, ", "the key no is read as a truth value"),
    "truth value for a seed": ("study: s", "study: s\nseeds: [true]", "seeds.0: is the truth value true"),
    "infinite temperature": (
        "temperature: 0.7",
        "temperature: .inf",
        "decoding.default.temperature: inf is not finite",
    ),
    "too many tokens": (
        "max_new_tokens: 16",
        "max_new_tokens: 100000",
        "100,000 new tokens leave no room for a prompt",
    ),
    "unknown skill": ("skills: [add]", "skills: [sub]", "unknown skill 'sub'"),
    "case": ("pools: {", "pools: {P: [add], ", "differs from 'P' in case only"),
    "braces": ("t.jsonl", '"t{x}.jsonl"', "Snakemake takes {x} in 't{x}.jsonl' for a wildcard"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_run_refuses_what_the_check_refuses(name, both):
    old, new, message = MISTAKES[name]
    assert old in STUDY
    (code, checked), (run, ran) = both(STUDY.replace(old, new, 1))
    assert (code, run) == (2, 2)
    assert any(message in line for line in checked), checked
    assert any(message in line for line in ran), ran
    assert set(ran) <= set(checked)  # the check also looks at files


@pytest.mark.parametrize("change", [("0.7", "7e-1"), ("0.7", "7.0E-1"), ("study: s", '"study": s')])
def test_a_run_takes_what_the_check_takes(change, both):
    assert both(STUDY.replace(*change, 1)) == ((0, []), (0, []))


@pytest.mark.parametrize("name", ["t 1.jsonl", "t'1\".jsonl", "té.jsonl", "t{1.jsonl", "t}{.jsonl", "t*?[a]%s.jsonl"])
def test_other_characters_in_names_of_files_are_taken(name, both, tmp_path):
    (tmp_path / name).write_text('{"question": "1+1?", "answer": "2"}\n', encoding="utf-8")
    quoted = "'" + name.replace("'", "''") + "'"
    assert both(STUDY.replace("t.jsonl", quoted)) == ((0, []), (0, []))


def test_another_workflow_may_have_settings_of_its_own_in_its_file(both, tmp_path, capsys):
    both(STUDY)
    outer = tmp_path / "outer.yaml"
    outer.write_text("mode: 0644\nmoco: {}\n", encoding="utf-8")
    workflow = SimpleNamespace(overwrite_configfiles=[outer], config_settings=SimpleNamespace(config={}))
    start(load_configfile(tmp_path / "s.yaml"), workflow)
    assert capsys.readouterr().err == ""
