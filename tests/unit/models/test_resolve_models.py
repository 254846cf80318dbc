"""From a declaration to a real model: found, fingerprinted, and compared with what was declared."""

import json
import shutil
from pathlib import Path

import pytest

from moco.config.engine import EngineSettings
from moco.config.models import CAPABILITIES, AdapterModel, HubModel, LocalModel, ZooModel
from moco.errors import FailedInput, MocoError, RequestError, WorkError
from moco.models.fingerprint import checkpoint_digest
from moco.models.info import ModelInfo
from moco.models.resolve import resolve
from moco.models.weights import count_parameters
from moco.records import write_json

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def local(path: object, **declared) -> LocalModel:
    return LocalModel(kind="local", path=str(path), **declared)


def test_a_local_folder_is_described_from_its_files(tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "models/a")
    info = resolve("a", local(folder), EngineSettings(dtype="float32"), tmp_path)
    assert (info.name, info.kind, info.location, info.family) == ("a", "local", "models/a", "llama")
    assert info.fingerprint == checkpoint_digest(folder)
    assert info.parameters == count_parameters(folder)
    assert (info.context, info.prompt_mode) == (512, "chat")
    assert info.engine == {"kind": "transformers", "dtype": "float32", "trust_remote_code": False, "attention": "auto"}
    assert info.folder(tmp_path) == folder


def test_variables_in_a_path_are_expanded(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_MODELS", str(tiny_checkpoint("base").parent))
    info = resolve("a", local("$MY_MODELS/base"), EngineSettings(), tmp_path)
    assert info.location == str(tiny_checkpoint("base").resolve())


def test_a_description_comes_back_from_its_file(tiny_checkpoint, tmp_path):
    info = resolve("a", local(tiny_checkpoint("base")), EngineSettings(), tmp_path)
    info.write(tmp_path / "model.json")
    assert ModelInfo.read(tmp_path / "model.json") == info
    write_json(tmp_path / "model.json", {"failed": "merge: killed"})
    with pytest.raises(FailedInput, match="merge: killed"):
        ModelInfo.read(tmp_path / "model.json")


def test_an_adapter_rests_on_its_base(tiny_checkpoint, tiny_adapter, tmp_path):
    base = resolve("base", local(tiny_checkpoint("base")), EngineSettings(), tmp_path)
    other = resolve("other", local(tiny_checkpoint("base", 1)), EngineSettings(), tmp_path)
    entry = AdapterModel(kind="adapter", base="base", path=str(tiny_adapter(1)))
    info = resolve("lora", entry, EngineSettings(), tmp_path, base=base)
    assert info.base == {"name": "base", "location": base.location, "fingerprint": base.fingerprint}
    assert (info.tokenizer, info.context, info.prompt_mode) == (base.tokenizer, 512, "chat")
    assert base.parameters < info.parameters < 1.1 * base.parameters
    second = AdapterModel(kind="adapter", base="base", path=str(tiny_adapter(2)))
    fingerprints = {
        base.fingerprint,
        info.fingerprint,
        resolve("lora", entry, EngineSettings(), tmp_path, base=other).fingerprint,
        resolve("lora", second, EngineSettings(), tmp_path, base=base).fingerprint,
    }
    assert len(fingerprints) == 4
    with pytest.raises(RequestError, match="base 'base' is not resolved"):
        resolve("lora", entry, EngineSettings(), tmp_path)


def test_an_adapter_that_is_no_lora_is_refused(tiny_checkpoint, tiny_adapter, tmp_path):
    base = resolve("base", local(tiny_checkpoint("base")), EngineSettings(), tmp_path)
    folder = shutil.copytree(tiny_adapter(1), tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "peft_type": "IA3"}))
    entry = AdapterModel(kind="adapter", base="base", path=str(folder))
    with pytest.raises(RequestError, match=r"models\.x: adapter type IA3 is not supported; use a LoRA adapter"):
        resolve("x", entry, EngineSettings(), tmp_path, base=base)


def test_a_zoo_model_is_where_its_rule_put_it(tiny_checkpoint, tmp_path):
    info = resolve("add", ZooModel(kind="zoo"), EngineSettings(), tmp_path, checkpoint=tiny_checkpoint("base"))
    assert (info.kind, info.fingerprint) == ("zoo", checkpoint_digest(tiny_checkpoint("base")))


def test_an_adapter_of_the_zoo_rests_on_its_base(tiny_checkpoint, tiny_adapter, tmp_path):
    base = resolve("base", ZooModel(kind="zoo"), EngineSettings(), tmp_path, checkpoint=tiny_checkpoint("base"))
    entry = ZooModel(kind="zoo", recipe="lora_add")
    info = resolve("mine", entry, EngineSettings(), tmp_path, checkpoint=tiny_adapter(1), base=base)
    assert info.kind == "adapter"
    assert info.base == {"name": "base", "location": base.location, "fingerprint": base.fingerprint}
    assert info.capabilities == base.capabilities == tuple(sorted(CAPABILITIES))


def test_a_zoo_model_has_the_capabilities_of_its_role(tiny_checkpoint, tmp_path):
    entry = ZooModel(kind="zoo", recipe="reward_strict")
    info = resolve("mine", entry, EngineSettings(), tmp_path, checkpoint=tiny_checkpoint("base"))
    assert info.capabilities == ("reward", "tokenizer")


@pytest.fixture
def hub(tiny_checkpoint, tmp_path, monkeypatch) -> Path:
    """A hub cache that holds one snapshot, as huggingface_hub lays it out."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    repo = cache / "models--owner--tiny"
    snapshot = repo / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for number, path in enumerate(sorted(tiny_checkpoint("base").iterdir())):
        shutil.copy(path, repo / "blobs" / f"{number:040d}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040d}")
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text(COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def test_a_cached_hub_model_needs_no_network(hub, tiny_checkpoint, tmp_path):
    entry = HubModel(kind="hub", repo="owner/tiny", revision=COMMIT)
    info = resolve("tiny", entry, EngineSettings(), tmp_path)
    assert info.kind == "hub"
    assert Path(tmp_path / info.location).resolve() == (hub / "models--owner--tiny/snapshots" / COMMIT).resolve()
    assert info.fingerprint == checkpoint_digest(tiny_checkpoint("base"))


@pytest.mark.usefixtures("hub")
def test_an_unpinned_revision_is_refused_even_when_cached(tmp_path):
    entry = HubModel(kind="hub", repo="owner/tiny", revision=None)
    with pytest.raises(RequestError, match=r"^models\.tiny: revision is not pinned; write the commit as `revision`$"):
        resolve("tiny", entry, EngineSettings(), tmp_path)


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(("repo", "revision"), [("owner/other", COMMIT), ("owner/tiny", "f" * 40)])
def test_a_snapshot_that_is_not_cached_names_the_remedy(tmp_path, repo, revision):
    with pytest.raises(WorkError) as caught:
        resolve("tiny", HubModel(kind="hub", repo=repo, revision=revision), EngineSettings(), tmp_path)
    line = str(caught.value)
    assert line.startswith(f"models.tiny: {repo}@{revision} is neither cached nor reachable (")
    assert line.endswith("; download it on a machine with a network, with the same HF_HOME")
    assert "\n" not in line


DECLARED = {
    "family": ("qwen2", "models.a.family: family is declared as qwen2, the model has llama; correct the declaration"),
    "context": (4096, "models.a.context: context is declared as 4096, the model has 512; correct the declaration"),
    "parameters": (1e9, "models.a.parameters: parameters is declared as 1e+09, the model has "),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_declaration_that_differs_is_one_line(tiny_checkpoint, tmp_path, name):
    value, line = DECLARED[name]
    with pytest.raises(RequestError) as caught:
        resolve("a", local(tiny_checkpoint("base"), **{name: value}), EngineSettings(), tmp_path)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_a_declaration_that_agrees_is_accepted(tiny_checkpoint, tmp_path):
    folder = tiny_checkpoint("base")
    entry = local(folder, family="llama", parameters=count_parameters(folder) * 1.05, context=100)
    assert resolve("a", entry, EngineSettings(), tmp_path).context == 100
    neox = resolve("b", local(tiny_checkpoint("b", family="gpt_neox")), EngineSettings(), tmp_path)
    assert neox.family == "gpt_neox"


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors", None])
def test_missing_files_are_one_line(tiny_checkpoint, tmp_path, missing):
    folder = tmp_path / "model"
    if missing:
        shutil.copytree(tiny_checkpoint("base"), folder)
        (folder / missing).unlink()
    with pytest.raises(MocoError) as caught:
        resolve("a", local(folder), EngineSettings(), tmp_path)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_damaged_file_is_one_line(tiny_checkpoint, tmp_path, name):
    folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "model")
    (folder / name).write_text("{half")
    with pytest.raises(MocoError) as caught:
        resolve("a", local(folder), EngineSettings(), tmp_path)
    assert name in str(caught.value)
