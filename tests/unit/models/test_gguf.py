import pytest

from moco.cli import main
from moco.config.expand import cache_root
from moco.errors import RequestError
from moco.models import gguf
from moco.workflow.models import _local_files

STUDY = """
study: s
models: {{m: {{kind: local, path: {path}, family: llama, parameters: 1e6}}}}
pools: {{one: [m, m]}}
tasks: {{t: {{source: {{kind: synthetic, skills: [add]}}}}}}
methods: {{text_majority_vote: {{}}}}
"""


def checked(tmp_path, capsys, path):
    (tmp_path / "study.yaml").write_text(STUDY.format(path=path), encoding="utf-8")
    code = main(["check", str(tmp_path / "study.yaml")])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist; correct the path"), (b"PK", "is no GGUF file; download it again")]
)
def test_check_looks_at_the_file(tmp_path, capsys, content, message):
    path = tmp_path / "m.gguf"
    if content is not None:
        path.write_bytes(content)
    code, shown = checked(tmp_path, capsys, path)
    assert code == 2
    assert f"models.m.path: {path} {message}" in shown


def test_the_file_itself_is_what_a_plan_watches(tmp_path, capsys):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    assert checked(tmp_path, capsys, path)[0] == 0
    assert _local_files(str(path)) == [str(path)]


def test_a_damaged_file_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCO_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + b"\1" * 64)
    with pytest.raises(RequestError, match=r"^models\.m: transformers cannot read m\.gguf \("):
        gguf.checkpoint_of(path, cache_root(), "models.m")
    assert [each.name for each in (tmp_path / "cache/gguf").iterdir() if not each.name.endswith(".lock")] == []


def test_a_file_is_read_once_for_its_content(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(gguf, "_write", lambda path, made, _where: (made / "config.json").write_text(path.name))
    monkeypatch.setattr(gguf, "convert", lambda *args, real=gguf.convert: (read.append(args[0].name), real(*args)))
    one, other = tmp_path / "m.gguf", tmp_path / "n.gguf"
    one.write_bytes(b"GGUF1")
    other.write_bytes(b"GGUF2")
    folders = [gguf.checkpoint_of(path, tmp_path / "cache", "m") for path in (one, one, other)]
    assert read == ["m.gguf", "n.gguf"]
    assert folders[0] == folders[1] != folders[2]
    one.write_bytes(b"GGUF3")
    assert gguf.checkpoint_of(one, tmp_path / "cache", "m") not in folders
