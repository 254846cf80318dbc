"""DARE-TIES on checkpoints: exact where it must be, seeded drops, mergekit as the reference."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from mergekit.merge_methods import merge_state_dicts
from mergekit.sparsify import RescaleNorm, rescaled_masked_tensor
from safetensors.torch import load_file, save_file

from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel
from moco.errors import RequestError, WorkError
from moco.merging import dare_ties, streaming
from moco.merging.build import build_merge
from moco.merging.dare_ties import keep_mask
from moco.models.recipes import Recipe
from moco.models.resolve import resolve


def tensors(folder) -> dict[str, torch.Tensor]:
    return {name: value for path in sorted(folder.glob("*.safetensors")) for name, value in load_file(path).items()}


def recipe(inputs, weights=None, base="base", **options) -> Recipe:
    weights = weights or [1 / len(inputs)] * len(inputs)
    return Recipe("dare_ties", tuple(inputs), tuple(weights), {"base": base, **options})


def merged(deltas, base, weights=None, *, dtype=torch.float32, **options) -> torch.Tensor:
    """Merge one tensor of models that add deltas to a base."""
    start = torch.tensor(base, dtype=dtype)
    values = [*(start + torch.tensor(delta, dtype=dtype) for delta in deltas), start]
    read = [lambda _name, value=value: value for value in values]
    return dare_ties.dare_ties(recipe([f"m{place}" for place in range(len(deltas))], weights, **options))("w", read)


@pytest.fixture(scope="module")
def models(tiny_checkpoint, resolved):
    """A base and three models of its architecture, all other random weights."""
    folders = {name: tiny_checkpoint("base", seed) for seed, name in enumerate(("base", "m1", "m2", "m3"))}
    infos = {name: replace(resolved(folder, name), location=str(folder)) for name, folder in folders.items()}
    return folders, infos


def build(infos, made_of, tmp_path, name="merged", **options):
    chosen = recipe([infos[one].fingerprint for one in made_of], base=infos["base"].fingerprint, **options)
    info = build_merge(name, chosen, list(infos.values()), tmp_path / name, tmp_path)
    return info, tmp_path / name


def copied(folder, target, change):
    """Copy a checkpoint with changed weights."""
    shutil.copytree(folder, target)
    save_file({name: change(value) for name, value in tensors(target).items()}, target / "model.safetensors")
    return target


# What the formula says


def test_two_that_agree_outvote_one():
    assert merged([[3.0], [1.0], [-1.0]], [10.0]).tolist() == pytest.approx([10 + 4 / 3])


def test_the_larger_sum_wins_whatever_the_number_of_models():
    assert merged([[1.0], [1.0], [-3.0]], [0.0]).tolist() == pytest.approx([-1.0])


def test_weights_take_part_in_the_election():
    assert merged([[1.0], [-1.0]], [0.0], [0.25, 0.75]).tolist() == [-0.75]


def test_a_tie_goes_to_the_positive_sign():
    assert merged([[1.0], [-1.0]], [2.0]).tolist() == [2.5]


def test_normalised_by_the_weights_that_agree():
    assert merged([[3.0], [1.0], [-1.0]], [10.0], [0.5, 0.25, 0.25], normalize=True).tolist() == pytest.approx(
        [10 + 1.75 / 0.75]
    )


def test_lambda_scales_what_is_added():
    assert merged([[3.0], [1.0]], [10.0], **{"lambda": 0.5}).tolist() == [11.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_type_of_the_inputs_is_kept_and_small_numbers_survive(dtype):
    value = float(torch.tensor(1e-6, dtype=dtype))
    out = merged([[[value]], [[value]]], [[0.0]], dtype=dtype)
    assert out.dtype == dtype
    assert out.shape == (1, 1)
    assert out.item() == value


# Check 1: models that are the base, one model alone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"density": 0.5, "rescale": "1/density", "seed": 3}, {"normalize": True}])
def test_copies_of_the_base_give_the_base_bit_for_bit(tiny_checkpoint, resolved, tmp_path, dtype, options):
    def change(value):
        value = value.to(dtype).clone()
        value.view(-1)[0] = -0.0
        return value

    folder = copied(tiny_checkpoint("base"), tmp_path / "base", change)
    base = resolved(folder, "base")
    chosen = recipe([base.fingerprint] * 3, base=base.fingerprint, **options)
    build_merge("merged", chosen, [base], tmp_path / "merged", tmp_path)
    kind = torch.int16 if dtype == torch.bfloat16 else torch.int32
    original = tensors(folder)
    for name, value in tensors(tmp_path / "merged").items():
        assert value.dtype == dtype
        assert torch.equal(value.view(kind), original[name].view(kind)), name


def test_one_model_with_all_the_weight_is_that_model(models, tmp_path):
    folders, infos = models
    info, folder = build(infos, ["m1"], tmp_path, density=1.0)
    assert info.fingerprint == infos["m1"].fingerprint
    assert (folder / "model.safetensors").read_bytes() == (folders["m1"] / "model.safetensors").read_bytes()
    for options in ({"density": 0.9, "rescale": "none"}, {"lambda": 0.5}):
        other, _ = build(infos, ["m1"], tmp_path, name=str(options), **options)
        assert other.fingerprint != infos["m1"].fingerprint


def test_the_formula_alone_gives_that_model_too(models):
    folders, _ = models
    one, base = tensors(folders["m1"]), tensors(folders["base"])
    for name, value in one.items():
        out = dare_ties.dare_ties(recipe(["m1"], [1.0]))(name, [one.__getitem__, base.__getitem__])
        torch.testing.assert_close(out, value, rtol=0, atol=1e-6)


# Check 3: the drop


def test_the_same_seed_gives_the_same_checkpoint_whatever_the_shards_and_chunks(models, tmp_path, monkeypatch):
    _, infos = models
    options = {"density": 0.5, "rescale": "l1", "seed": 1}
    usual, _ = build(infos, ["m1", "m2"], tmp_path, **options)
    monkeypatch.setattr(dare_ties, "_CHUNK", 1 << 10)
    again, _ = build(infos, ["m1", "m2"], tmp_path, name="again", **options)
    monkeypatch.setattr(streaming, "_SHARD_BYTES", 150_000)
    _, folder = build(infos, ["m1", "m2"], tmp_path, name="cut", **options)
    other, _ = build(infos, ["m1", "m2"], tmp_path, name="other", **{**options, "seed": 2})
    assert len(list(folder.glob("*.safetensors"))) > 2
    whole, cut = tensors(tmp_path / "merged"), tensors(folder)
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    assert usual.fingerprint == again.fingerprint
    assert usual.fingerprint != other.fingerprint


def test_a_cut_input_gives_the_same_checkpoint(models, tmp_path, resolved):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folders, infos = models
    folder = tmp_path / "shards"
    AutoModelForCausalLM.from_pretrained(folders["m1"]).save_pretrained(folder, max_shard_size="100KB")
    AutoTokenizer.from_pretrained(folders["m1"]).save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 2
    known = {**infos, "m1": replace(resolved(folder, "m1"), fingerprint=infos["m1"].fingerprint)}
    known["m1"] = replace(known["m1"], location=str(folder))
    options = {"density": 0.5, "rescale": "1/density", "seed": 1}
    build(infos, ["m1", "m2"], tmp_path, name="whole", **options)
    build(known, ["m1", "m2"], tmp_path, name="cut", **options)
    whole, cut = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_masks_depend_on_seed_model_and_tensor_and_on_nothing_else():
    usual = keep_mask(0, "m", "w", 4000, 0.3)
    assert usual.mean() == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(usual, keep_mask(0, "m", "w", 4000, 0.3))
    assert np.array_equal(usual[:100], keep_mask(0, "m", "w", 100, 0.3))
    for other in ((1, "m", "w"), (0, "n", "w"), (0, "m", "v")):
        assert np.mean(keep_mask(*other, 4000, 0.3) == usual) == pytest.approx(0.58, abs=0.04)


def test_global_seeds_and_threads_change_nothing(models):
    folders, _ = models
    one, base = tensors(folders["m1"]), tensors(folders["base"])
    merge = dare_ties.dare_ties(recipe(["m1"], [1.0], density=0.5, rescale="l1", seed=1))
    outs = []
    threads = torch.get_num_threads()
    for number in (1, 2):
        torch.manual_seed(number)
        torch.set_num_threads(number)
        outs.append({name: merge(name, [one.__getitem__, base.__getitem__]) for name in one})
    torch.set_num_threads(threads)
    assert all(torch.equal(value, outs[1][name]) for name, value in outs[0].items())


def test_dividing_by_the_density_keeps_the_mean():
    delta = [1.0, -2.0, 3.0, 0.5]
    outs = [merged([delta], [0.0] * 4, [1.0], density=0.5, rescale="1/density", seed=seed) for seed in range(2000)]
    for out in outs:
        assert all(value in (0.0, 2 * whole) for value, whole in zip(out.tolist(), delta, strict=True))
    torch.testing.assert_close(torch.stack(outs).mean(0), torch.tensor(delta), rtol=0.12, atol=0)


def test_without_rescaling_the_kept_are_as_they_were():
    out = merged([[1.0, -2.0, 3.0, 0.5] * 10], [0.0] * 40, [1.0], density=0.5, rescale="none")
    assert set(out.tolist()) == {0.0, 1.0, -2.0, 3.0, 0.5}


def test_l1_rescaling_is_that_of_mergekit_under_the_same_mask():
    delta = torch.randn(500, generator=torch.Generator().manual_seed(0))
    mask = torch.from_numpy(keep_mask(7, "m0", "w", 500, 0.4))
    expected = rescaled_masked_tensor(delta.double(), mask.double(), RescaleNorm.l1).float()
    out = merged([delta.tolist()], [0.0] * 500, [1.0], density=0.4, rescale="l1", seed=7)
    torch.testing.assert_close(out, expected, rtol=1e-6, atol=1e-7)
    assert out.abs().sum().item() == pytest.approx(delta.abs().sum().item(), rel=1e-5)


def test_a_delta_of_which_nothing_is_kept_adds_nothing():
    seed = next(seed for seed in range(999) if not keep_mask(seed, "m0", "w", 1, 0.5).any())
    for rescale in dare_ties.RESCALE:
        assert merged([[4.0]], [1.0], [1.0], density=0.5, rescale=rescale, seed=seed).tolist() == [1.0]


# Check 4: mergekit is the reference


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float16, 2e-3), (torch.float32, 1e-6)])
def test_a_density_of_one_is_what_mergekit_makes(models, tmp_path, dtype, tolerance, normalize):
    folders, infos = models
    names, weights, scale = ["m1", "m2", "m3"], [0.5, 0.3, 0.2], 0.8
    chosen = recipe(
        [infos[name].fingerprint for name in names],
        weights,
        infos["base"].fingerprint,
        normalize=normalize,
        **{"lambda": scale},
    )
    build_merge("merged", chosen, list(infos.values()), tmp_path / "merged", tmp_path)
    expected = merge_state_dicts(
        {name: tensors(folder) for name, folder in folders.items()},
        "dare_ties",
        base="base",
        parameters={"weight": dict(zip(names, weights, strict=True)), "normalize": normalize, "lambda": scale},
        dtype=dtype,
        out_dtype=torch.float32,
    )
    ours = tensors(tmp_path / "merged")
    assert ours.keys() == expected.keys()
    differ = total = 0
    for name, value in ours.items():
        apart = (value - expected[name]).abs() > tolerance
        differ += int(apart.sum())
        total += value.numel()
    # In half precision a sum near zero may elect the other sign.
    assert differ <= (0 if dtype == torch.float32 else total // 500)


# Whole checkpoints


def test_a_merge_is_a_whole_checkpoint_that_names_its_base(models, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, infos = models
    info, folder = build(infos, ["m1", "m2"], tmp_path, density=0.5, rescale="l1", seed=4)
    model = AutoModelForCausalLM.from_pretrained(folder)
    values = dict(model.named_parameters())
    assert all(torch.equal(values[name], value) for name, value in tensors(folder).items())
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert [parent["name"] for parent in info.parents] == ["m1", "m2", "base"]
    card = (folder / "README.md").read_text()
    assert f"| base | base | {infos['base'].fingerprint[:16]} |" in card
    assert "Settings: density 0.5, rescale l1, seed 4." in card
    assert Recipe.from_json(info.recipe).options["seed"] == 4


def test_tied_embeddings_stay_one_tensor(tiny_checkpoint, resolved, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    infos = {}
    for seed, name in enumerate(("base", "m1", "m2")):
        source = tiny_checkpoint("base", seed)
        config = AutoModelForCausalLM.from_pretrained(source).config
        config.tie_word_embeddings = True
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            LlamaForCausalLM(config).save_pretrained(tmp_path / name)
        AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path / name)
        infos[name] = resolved(tmp_path / name, name)
    _, folder = build(infos, ["m1", "m2"], tmp_path, density=0.5, rescale="1/density")
    assert "lm_head.weight" not in tensors(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_a_base_of_another_shape_is_refused_before_work(models, resolved, tmp_path):
    folders, infos = models
    folder = shutil.copytree(folders["base"], tmp_path / "wide")
    content = tensors(folder)
    content["model.norm.weight"] = content["model.norm.weight"][:-1].clone()
    save_file(content, folder / "model.safetensors")
    known = {**infos, "base": replace(resolved(folder, "wide"), location=str(folder))}
    with pytest.raises(RequestError, match=r"models\.wide: tensor model\.norm\.weight is F32 \[64\] in m1"):
        build(known, ["m1", "m2"], tmp_path)
    assert not (tmp_path / "merged/model.safetensors").exists()


def test_a_base_that_nobody_knows_is_one_line(models, tmp_path):
    _, infos = models
    known = {name: info for name, info in infos.items() if name != "base"}
    with pytest.raises(WorkError, match="recipe of merged: no model has the fingerprint"):
        build_merge(
            "merged",
            recipe([infos["m1"].fingerprint], base=infos["base"].fingerprint),
            list(known.values()),
            tmp_path / "merged",
            tmp_path,
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "b", "densty": 0.5}, "'dare_ties' has no option 'densty'; known: base, density"),
        ({}, "'dare_ties' needs option 'base'"),
        ({"base": "b", "density": 0.0}, r"density 0\.0"),
        ({"base": "b", "density": 1.5}, r"density 1\.5"),
        ({"base": "b", "rescale": "l2"}, "'l2'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    with pytest.raises(RequestError, match=message):
        dare_ties.dare_ties(Recipe("dare_ties", ("a",), (1.0,), options))


def test_adapters_are_merged_into_their_base_first(tiny_checkpoint, tiny_adapter, resolved, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tiny_checkpoint("base")
    base = resolved(folder, "base")
    entries = [AdapterModel(kind="adapter", base="base", path=str(tiny_adapter(seed))) for seed in (1, 2)]
    infos = [resolve(f"l{n}", entry, EngineSettings(), folder.parent, base=base) for n, entry in enumerate(entries)]
    chosen = recipe([info.fingerprint for info in infos], base=base.fingerprint)
    build_merge("merged", chosen, [*infos, base], tmp_path / "merged", folder.parent)
    dense = []
    for seed in (1, 2):
        model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), tiny_adapter(seed))
        dense.append(model.merge_and_unload().state_dict())
    start, moved = tensors(folder), tensors(tmp_path / "merged")
    changed = {name for name, value in moved.items() if not torch.equal(value, start[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj", "down_proj"}
    for name in changed:
        halves = [(one[name] - start[name]).double() / 2 for one in dense]
        sign = torch.where(halves[0] + halves[1] >= 0, 1.0, -1.0)
        kept = sum(half * (half.sign() == sign) for half in halves)
        torch.testing.assert_close(moved[name], (start[name].double() + kept).float(), rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "merged/config.json").read_text())["model_type"] == "llama"
