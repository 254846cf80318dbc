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
from moco.merging.build import _OPERATIONS, build_merge
from moco.merging.linear import linear
from moco.merging.lora import OPERATION
from moco.models.recipes import OPERATIONS, Recipe
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


def test_another_architecture_is_refused(tiny_checkpoint, resolved, tmp_path):
    one = resolved(shutil.copytree(tiny_checkpoint("base"), tmp_path / "one"), "one")
    neox = resolved(shutil.copytree(tiny_checkpoint("b", family="gpt_neox"), tmp_path / "neox"), "neox")
    with pytest.raises(RequestError, match=r"is missing in one and F32 \[.*\] in neox"):
        build_merge("soup2", average([one, neox]), [one, neox], tmp_path / "soup2", tmp_path)


def rewritten(folder, target, change, **config):
    """Copy a checkpoint with other tensors and another configuration."""
    shutil.copytree(folder, target)
    content = tensors(folder)
    change(content)
    save_file(content, target / "model.safetensors", metadata={"format": "pt"})
    stated = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps(stated | config))
    return target


EMBEDDINGS, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def tied(folder, target, *, stored=False):
    def change(content):
        content[HEAD] = content[EMBEDDINGS].clone()
        if not stored:
            del content[HEAD]

    return rewritten(folder, target, change, tie_word_embeddings=True)


def logits(folder):
    from transformers import AutoModelForCausalLM

    with torch.inference_mode():
        return AutoModelForCausalLM.from_pretrained(folder)(input_ids=torch.tensor([[3, 5, 8]])).logits


@pytest.mark.parametrize("stored", [(False, True), (True, False), (True, True)])
def test_a_stored_copy_of_tied_embeddings_is_no_tensor_of_its_own(tiny_checkpoint, resolved, tmp_path, stored):
    folders = [tied(tiny_checkpoint("base", seed), tmp_path / f"m{seed}", stored=stored[seed]) for seed in (0, 1)]
    infos = [resolved(folder, folder.name) for folder in folders]
    build_merge("soup", average(infos), infos, tmp_path / "soup", tmp_path)
    merged = tensors(tmp_path / "soup")
    assert HEAD not in merged
    halves = [tensors(folder)[EMBEDDINGS].double() / 2 for folder in folders]
    assert torch.equal(merged[EMBEDDINGS], (halves[0] + halves[1]).float())
    assert logits(tmp_path / "soup").isfinite().all()


@pytest.mark.parametrize("first", ["tied", "untied"])
def test_where_one_model_is_tied_and_one_is_not_the_merge_is_not(tiny_checkpoint, resolved, tmp_path, first):
    folders = {"tied": tied(tiny_checkpoint("base"), tmp_path / "tied"), "untied": tiny_checkpoint("base", 1)}
    order = sorted(folders, key=lambda name: name != first)
    infos = [replace(resolved(folders[name], name), location=str(folders[name])) for name in order]
    build_merge("soup", average(infos), infos, tmp_path / "soup", tmp_path)
    inputs = [tensors(folders[name]) for name in ("tied", "untied")]
    head = (inputs[0][EMBEDDINGS].double() / 2 + inputs[1][HEAD].double() / 2).float()
    assert torch.equal(tensors(tmp_path / "soup")[HEAD], head)
    assert json.loads((tmp_path / "soup/config.json").read_text())["tie_word_embeddings"] is False


def test_buffers_that_old_files_hold_are_left_out(tiny_checkpoint, resolved, tmp_path):
    names = [f"model.layers.{layer}.self_attn.rotary_emb.inv_freq" for layer in range(2)]
    buffers = {name: torch.ones(16) for name in names}
    old = rewritten(tiny_checkpoint("base"), tmp_path / "old", lambda content: content.update(buffers))
    plain = [resolved(tiny_checkpoint("base", seed), f"m{seed}") for seed in (0, 1)]
    plain = [replace(info, location=str(tiny_checkpoint("base", seed))) for seed, info in enumerate(plain)]
    build_merge("plain", average(plain), plain, tmp_path / "plain", tmp_path)
    infos = [resolved(old, "old"), plain[1]]
    for place, mixed in enumerate((infos, infos[::-1])):
        build_merge("soup", average(mixed), mixed, tmp_path / f"soup{place}", tmp_path)
        merged, wanted = tensors(tmp_path / f"soup{place}"), tensors(tmp_path / "plain")
        assert merged.keys() == wanted.keys()
        assert all(torch.equal(value, wanted[name]) for name, value in merged.items())


@pytest.mark.parametrize("first", [torch.bfloat16, torch.float32])
def test_types_may_differ_and_the_first_decides(tiny_checkpoint, resolved, tmp_path, first):
    second = torch.float32 if first == torch.bfloat16 else torch.bfloat16
    folders = [
        in_dtype(tiny_checkpoint("base", n), tmp_path / f"m{n}", dtype) for n, dtype in enumerate((first, second))
    ]
    infos = [resolved(folder, folder.name) for folder in folders]
    build_merge("soup", average(infos, [0.3, 0.7]), infos, tmp_path / "soup", tmp_path)
    inputs = [tensors(folder) for folder in folders]
    for name, value in tensors(tmp_path / "soup").items():
        wanted = 0.3 * inputs[0][name].double() + 0.7 * inputs[1][name].double()
        assert value.dtype == first
        assert torch.equal(value, wanted.to(first)), name
    config = json.loads((tmp_path / "soup/config.json").read_text())
    assert config["dtype"] == str(first).removeprefix("torch.")


def test_types_may_differ_and_the_base_decides_where_there_is_one(tiny_checkpoint, resolved, tmp_path):
    dtypes = {"base": torch.bfloat16, "one": torch.float32, "two": torch.float16}
    folders = {
        name: in_dtype(tiny_checkpoint("base", n), tmp_path / name, dtypes[name]) for n, name in enumerate(dtypes)
    }
    infos = {name: resolved(folder, name) for name, folder in folders.items()}
    inputs = (infos["one"].fingerprint, infos["two"].fingerprint)
    recipe = Recipe("dare_ties", inputs, (0.5, 0.5), {"base": infos["base"].fingerprint})
    build_merge("merge", recipe, list(infos.values()), tmp_path / "merge", tmp_path)
    content = {name: tensors(folder) for name, folder in folders.items()}
    for name, value in tensors(tmp_path / "merge").items():
        start = content["base"][name].double()
        parts = [(content[each][name].double() - start) / 2 for each in ("one", "two")]
        elected = torch.where(parts[0] + parts[1] >= 0, 1.0, -1.0)
        wanted = start + sum(torch.where(part * elected > 0, part, 0.0) for part in parts)
        assert value.dtype == torch.bfloat16
        assert (value.double() - wanted).abs().max() <= 2**-8 * wanted.abs().max()
    assert json.loads((tmp_path / "merge/config.json").read_text())["dtype"] == "bfloat16"


def test_files_of_the_bare_model_have_shorter_names(tiny_checkpoint, resolved, tmp_path):
    """As GPT-2's on the hub: without the prefix that a model with an output layer saves its tensors under."""

    def bare(content):
        for name in list(content):
            content[name.removeprefix("model.")] = content.pop(name)

    short = rewritten(tiny_checkpoint("base", 1), tmp_path / "short", bare)
    whole = [resolved(tiny_checkpoint("base", seed), f"m{seed}") for seed in (0, 1)]
    whole = [replace(info, location=str(tiny_checkpoint("base", seed))) for seed, info in enumerate(whole)]
    build_merge("whole", average(whole), whole, tmp_path / "whole", tmp_path)
    infos = [whole[0], resolved(short, "short")]
    build_merge("soup", average(infos), infos, tmp_path / "soup", tmp_path)
    merged, wanted = tensors(tmp_path / "soup"), tensors(tmp_path / "whole")
    assert merged.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[name]) for name, value in merged.items())
    build_merge("again", average(infos[::-1]), infos, tmp_path / "again", tmp_path)
    assert torch.equal(logits(tmp_path / "again"), logits(tmp_path / "whole"))


def test_tensors_that_are_no_weights_are_those_of_the_first(tmp_path):
    for place in range(7):
        content = {"mask": torch.ones(3, dtype=torch.uint8), "on": torch.tensor([True]), "w": torch.full((2,), 3.0)}
        (tmp_path / str(place)).mkdir()
        save_file(content, tmp_path / str(place) / "model.safetensors")
    (tmp_path / "out").mkdir()
    sevenths = linear(Recipe("linear", ("m",) * 7, (1 / 7,) * 7))
    lists = streaming.aligned_tensors([tmp_path / str(place) for place in range(7)], list("0123456"))
    streaming.merge_streamed(lists, sevenths, {"w": torch.float32}, tmp_path / "out")
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
    with pytest.raises(RequestError, match="unknown merge operation 'ties'; known: dare_ties, linear, lora"):
        Recipe("ties", ("a",), (1.0,))
    with pytest.raises(RequestError, match="'linear' has no option 'density'; known: none"):
        Recipe("linear", ("a",), (1.0,), {"density": 0.5})
    with pytest.raises(RequestError, match="2 inputs and 1 weights"):
        Recipe("linear", ("a", "b"), (1.0,))


def test_every_operation_that_a_recipe_may_name_is_built():
    assert {*_OPERATIONS, OPERATION} == set(OPERATIONS)


def test_no_scratch_stays_behind(tiny_checkpoint, resolved, tmp_path):
    info = resolved(shutil.copytree(tiny_checkpoint("base"), tmp_path / "one"), "one")
    build_merge("soup", average([info, info]), [info], tmp_path / "new/soup", tmp_path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["soup"]
