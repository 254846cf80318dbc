"""Merges: exact averages, whole checkpoints, one line where inputs do not fit."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel
from moco.errors import RequestError, WorkError
from moco.merging import streaming
from moco.merging.build import build_merge
from moco.merging.linear import linear
from moco.methods.base import Recipe
from moco.models.resolve import resolve


def tensors(folder) -> dict[str, torch.Tensor]:
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def average(infos, weights=None) -> Recipe:
    weights = weights or [1 / len(infos)] * len(infos)
    return Recipe("linear", tuple(info.fingerprint for info in infos), tuple(weights))


def in_dtype(folder, target, dtype):
    """Copy a checkpoint in another number type."""
    shutil.copytree(folder, target)
    saved = {name: value.to(dtype) for name, value in tensors(folder).items()}
    save_file(saved, target / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "dtype": str(dtype).removeprefix("torch.")}))
    return target


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("copies", [2, 3, 5, 7])
def test_copies_average_to_themselves_bit_for_bit(tiny_checkpoint, resolved, tmp_path, dtype, copies):
    folder = in_dtype(tiny_checkpoint("base"), tmp_path / "model", dtype)
    content = tensors(folder)
    name = next(iter(content))
    content[name].view(-1)[0] = -0.0
    save_file(content, folder / "model.safetensors", metadata={"format": "pt"})
    info = resolved(folder)
    build_merge("soup", average([info] * copies), [info], tmp_path / "soup", tmp_path)
    merged, original = tensors(tmp_path / "soup"), tensors(folder)
    assert merged.keys() == original.keys()
    kind = torch.int16 if dtype == torch.bfloat16 else torch.int32
    for name, value in original.items():
        assert merged[name].dtype == dtype
        assert torch.equal(merged[name].view(kind), value.view(kind)), name


@pytest.fixture
def three(tiny_checkpoint, resolved):
    folders = [tiny_checkpoint("base", seed) for seed in range(3)]
    infos = [resolved(folder, f"m{seed}") for seed, folder in enumerate(folders)]
    return folders, [replace(info, location=str(folder)) for info, folder in zip(infos, folders, strict=True)]


@pytest.mark.parametrize("weights", [None, [0.5, 0.3, 0.2], [1.0, 1.0, -1.0]])
def test_an_average_is_that_of_numpy_in_float64_rounded_once(three, tmp_path, weights):
    folders, infos = three
    recipe = average(infos, weights)
    info = build_merge("soup", recipe, infos[::-1], tmp_path / "soup", tmp_path)
    inputs = [tensors(folder) for folder in folders]
    for name, value in tensors(tmp_path / "soup").items():
        parts = [w * one[name].numpy().astype(np.float64) for w, one in zip(recipe.weights, inputs, strict=True)]
        assert np.array_equal(value.numpy(), (parts[0] + parts[1] + parts[2]).astype(np.float32)), name
    assert info.kind == "merge"
    assert [parent["name"] for parent in info.parents] == ["m0", "m1", "m2"]
    assert Recipe.from_json(info.recipe) == recipe


def test_a_merge_is_a_whole_checkpoint_that_transformers_loads(three, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, infos = three
    info = build_merge("soup", average(infos), infos, tmp_path / "soup", tmp_path)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "soup")
    names = dict(model.named_parameters())
    for name, value in tensors(tmp_path / "soup").items():
        assert torch.equal(names[name], value)
    assert AutoTokenizer.from_pretrained(tmp_path / "soup").chat_template
    assert model.generation_config.eos_token_id == 1
    card = (tmp_path / "soup/README.md").read_text()
    assert all(f"| {other.name} | 0.333333 | {other.fingerprint[:16]} |" in card for other in infos)
    assert (info.tokenizer, info.parameters, info.prompt_mode) == (infos[0].tokenizer, infos[0].parameters, "chat")
    assert info.fingerprint not in {other.fingerprint for other in infos}


def test_a_single_input_is_that_input(tiny_checkpoint, resolved, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "alone")
    (folder / "README.md").write_text("mine")
    alone = resolved(folder, "alone")
    info = build_merge("soup", average([alone]), [alone], tmp_path / "soup", tmp_path)
    assert info.fingerprint == alone.fingerprint
    weights = tmp_path / "soup/model.safetensors"
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()
    # What happens to the merge must not happen to the model.
    assert not weights.samefile(folder / "model.safetensors")
    assert (folder / "README.md").read_text() == "mine"
    assert "soup" in (tmp_path / "soup/README.md").read_text()
    scaled = build_merge("half", average([alone], [0.5]), [alone], tmp_path / "half", tmp_path)
    assert scaled.fingerprint != alone.fingerprint


def test_inputs_and_outputs_may_be_cut_into_shards(tiny_checkpoint, resolved, tmp_path, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    infos = []
    for seed, size in ((0, "100KB"), (1, "5GB")):
        folder = tmp_path / f"m{seed}"
        AutoModelForCausalLM.from_pretrained(tiny_checkpoint("base", seed)).save_pretrained(folder, max_shard_size=size)
        AutoTokenizer.from_pretrained(tiny_checkpoint("base")).save_pretrained(folder)
        infos.append(resolved(folder, f"m{seed}"))
    assert len(list((tmp_path / "m0").glob("*.safetensors"))) > 2
    build_merge("whole", average(infos), infos, tmp_path / "whole", tmp_path)
    assert [path.name for path in (tmp_path / "whole").glob("*.safetensors*")] == ["model.safetensors"]
    monkeypatch.setattr(streaming, "_SHARD_BYTES", 150_000)
    build_merge("cut", average(infos), infos, tmp_path / "cut", tmp_path)
    parts = sorted(path.name for path in (tmp_path / "cut").glob("*.safetensors"))
    assert parts == [f"model-{n:05d}-of-{len(parts):05d}.safetensors" for n in range(1, len(parts) + 1)]
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").state_dict()
    cut = AutoModelForCausalLM.from_pretrained(tmp_path / "cut").state_dict()
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_another_shape_names_the_first_tensor(tiny_checkpoint, resolved, tmp_path):
    one = resolved(shutil.copytree(tiny_checkpoint("base"), tmp_path / "one"), "one")
    folder = shutil.copytree(tiny_checkpoint("base", 1), tmp_path / "two")
    content = tensors(folder)
    for name in ("model.layers.1.mlp.up_proj.weight", "model.norm.weight"):
        content[name] = content[name][:-1].clone()
    save_file(content, folder / "model.safetensors")
    two = resolved(folder, "two")
    with pytest.raises(RequestError) as caught:
        build_merge("soup", average([one, two]), [one, two], tmp_path / "soup", tmp_path)
    assert str(caught.value) == (
        "models.two: tensor model.layers.1.mlp.up_proj.weight is F32 [128, 64] in one and F32 [127, 64] in two;"
        " merge only models of one architecture"
    )


def test_another_type_and_another_architecture_are_refused(tiny_checkpoint, resolved, tmp_path):
    one = resolved(shutil.copytree(tiny_checkpoint("base"), tmp_path / "one"), "one")
    half = resolved(in_dtype(tiny_checkpoint("base"), tmp_path / "half", torch.bfloat16), "half")
    neox = resolved(shutil.copytree(tiny_checkpoint("b", family="gpt_neox"), tmp_path / "neox"), "neox")
    with pytest.raises(RequestError, match=r"is F32 \[.*\] in one and BF16 \[.*\] in half"):
        build_merge("soup", average([one, half]), [one, half], tmp_path / "soup", tmp_path)
    with pytest.raises(RequestError, match=r"is missing in one and F32 \[.*\] in neox"):
        build_merge("soup2", average([one, neox]), [one, neox], tmp_path / "soup2", tmp_path)


def test_tensors_that_are_no_weights_are_those_of_the_first(tmp_path):
    for place in range(7):
        content = {"mask": torch.ones(3, dtype=torch.uint8), "on": torch.tensor([True]), "w": torch.full((2,), 3.0)}
        (tmp_path / str(place)).mkdir()
        save_file(content, tmp_path / str(place) / "model.safetensors")
    (tmp_path / "out").mkdir()
    sevenths = linear(Recipe("linear", ("m",) * 7, (1 / 7,) * 7))
    streaming.merge_streamed([tmp_path / str(place) for place in range(7)], sevenths, tmp_path / "out")
    merged = tensors(tmp_path / "out")
    assert merged["mask"].tolist() == [1, 1, 1]
    assert merged["on"].tolist() == [True]
    assert merged["w"].tolist() == [3.0, 3.0]


def test_adapters_are_merged_into_their_base_first(tiny_checkpoint, tiny_adapter, resolved, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tiny_checkpoint("base")
    base = resolved(folder, "base")
    root = folder.parent
    entries = [AdapterModel(kind="adapter", base="base", path=str(tiny_adapter(seed))) for seed in (1, 2)]
    infos = [resolve(f"l{n}", entry, EngineSettings(), root, base=base) for n, entry in enumerate(entries)]
    info = build_merge("soup", average(infos), infos, tmp_path / "soup", root)
    dense = []
    for seed in (1, 2):
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tiny_adapter(seed))
        dense.append(model.merge_and_unload().state_dict())
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "soup").state_dict()
    assert any(not torch.equal(dense[0][name], dense[1][name]) for name in merged)
    for name, value in merged.items():
        torch.testing.assert_close(value, (dense[0][name] + dense[1][name]) / 2, rtol=1e-5, atol=1e-7)
    assert info.base is None
    assert info.prompt_mode == "chat"


def test_unknown_inputs_and_operations_are_one_line(three, tmp_path):
    _, infos = three
    with pytest.raises(WorkError, match="recipe of soup: no model has the fingerprint 0000000000000000; run its fit"):
        build_merge("soup", Recipe("linear", ("0" * 64,), (1.0,)), infos, tmp_path / "soup", tmp_path)
    with pytest.raises(RequestError, match="unknown merge operation 'ties'; known: dare_ties, linear"):
        build_merge("soup", Recipe("ties", (), ()), infos, tmp_path / "soup", tmp_path)


def test_no_scratch_stays_behind(tiny_checkpoint, resolved, tmp_path):
    info = resolved(shutil.copytree(tiny_checkpoint("base"), tmp_path / "one"), "one")
    build_merge("soup", average([info, info]), [info], tmp_path / "new/soup", tmp_path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["soup"]
