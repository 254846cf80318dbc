"""Combined adapters against exact sums of what single adapters add, on a tiny model in float64."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, LocalModel
from moco.engines.transformers import load_model
from moco.errors import RequestError
from moco.merging.build import build_merge
from moco.models.recipes import Recipe
from moco.models.resolve import describe_merge, resolve

pytestmark = pytest.mark.filterwarnings("ignore")

CPU = torch.device("cpu")
ENGINE = EngineSettings(dtype="float64")
PROMPT = torch.tensor([[5, 17, 33, 60, 101, 7, 250, 301, 12]])
# Scales 2, 1.25 and 3.
SETTINGS = {
    "a": {"r": 4, "lora_alpha": 8},
    "b": {"r": 4, "lora_alpha": 5},
    "c": {"r": 4, "lora_alpha": 6, "use_rslora": True},
}
SCALES = {"a": 2.0, "b": 1.25, "c": 3.0}


@pytest.fixture
def make(tiny_checkpoint, tmp_path):
    """Returns the descriptions of a base and of random adapters on it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = shutil.copytree(tiny_checkpoint("base"), tmp_path / "base")
    info = resolve("base", LocalModel(kind="local", path=str(base)), ENGINE, tmp_path)

    def adapters(**settings):
        infos = {"base": info}
        for seed, (name, given) in enumerate(settings.items()):
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                config = {"target_modules": ["q_proj", "v_proj"], "init_lora_weights": False, **given}
                model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), LoraConfig(**config))
            model.save_pretrained(tmp_path / name)
            entry = AdapterModel(kind="adapter", base="base", path=str(tmp_path / name))
            infos[name] = resolve(name, entry, ENGINE, tmp_path, base=info)
        return infos

    return adapters


def combine(infos, weights, tmp_path, space="factors"):
    names = list(weights)
    recipe = Recipe(
        "lora",
        tuple(infos[name].fingerprint for name in names),
        tuple(weights.values()),
        {"base": infos["base"].fingerprint, "space": space},
    )
    folder = tmp_path / f"combined-{space}-{'-'.join(map(str, weights.values()))}-{'-'.join(names)}"
    return build_merge("combined", recipe, list(infos.values()), folder, tmp_path)


def logits(info, root):
    with torch.inference_mode():
        return load_model(info, root, ENGINE, CPU)(input_ids=PROMPT).logits


def added(name, root):
    """What an adapter adds to each weight, in float64."""
    tensors = load_file(root / name / "adapter_model.safetensors")
    names = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    a, b = ({key: tensors[f"{key}.lora_{factor}.weight"].double() for key in names} for factor in "AB")
    return a, b, {key: SCALES[name] * b[key] @ a[key] for key in names}


def added_by(info, root):
    tensors = load_file(info.folder(root) / "adapter_model.safetensors")
    config = json.loads((info.folder(root) / "adapter_config.json").read_text())
    assert config["lora_alpha"] == config["r"]
    assert not config["use_rslora"]
    names = [key.removesuffix(".lora_A.weight") for key in tensors if key.endswith(".lora_A.weight")]
    return {key: tensors[f"{key}.lora_B.weight"].double() @ tensors[f"{key}.lora_A.weight"].double() for key in names}


def test_factors_are_summed_each_adapter_with_its_own_scale(make, tmp_path):
    infos = make(**SETTINGS)
    weights = {"a": 0.5, "b": -1.0, "c": 0.25}
    found = added_by(combine(infos, weights, tmp_path), tmp_path)
    parts = {name: added(name, tmp_path) for name in weights}
    for key, matrix in found.items():
        a = sum(weight * parts[name][0][key] for name, weight in weights.items())
        b = sum(weight * SCALES[name] * parts[name][1][key] for name, weight in weights.items())
        torch.testing.assert_close(matrix, b @ a, rtol=0, atol=1e-6)


def test_deltas_are_summed_at_the_sum_of_the_ranks(make, tmp_path):
    infos = make(**SETTINGS)
    weights = {"a": 0.5, "b": 0.5, "c": -0.5}
    info = combine(infos, weights, tmp_path, "delta")
    parts = {name: added(name, tmp_path)[2] for name in weights}
    for key, matrix in added_by(info, tmp_path).items():
        wanted = sum(weight * parts[name][key] for name, weight in weights.items())
        torch.testing.assert_close(matrix, wanted, rtol=0, atol=1e-6)
    assert json.loads((info.folder(tmp_path) / "adapter_config.json").read_text())["r"] == 12


@pytest.mark.parametrize("space", ["factors", "delta"])
def test_one_adapter_alone_is_that_adapter_and_no_weight_is_the_base(make, tmp_path, space):
    infos = make(**SETTINGS)
    for name in SETTINGS:
        alone = combine(infos, {name: 1.0}, tmp_path, space)
        assert torch.equal(logits(alone, tmp_path), logits(infos[name], tmp_path))
        assert alone.fingerprint == infos[name].fingerprint
    nothing = combine(infos, {"a": 0.0, "b": 0.0}, tmp_path, space)
    assert torch.equal(logits(nothing, tmp_path), logits(infos["base"], tmp_path))


@pytest.mark.parametrize("other", ["b", "c"])
def test_a_unit_vector_is_its_adapter_also_beside_adapters_of_another_scale(make, tmp_path, other):
    infos = make(**SETTINGS)
    combined = combine(infos, {"a": 0.0, other: 1.0}, tmp_path)
    # The scale is folded into one factor of float32.
    torch.testing.assert_close(logits(combined, tmp_path), logits(infos[other], tmp_path), rtol=0, atol=1e-5)


def test_factors_are_even_and_deltas_are_not(make, tmp_path):
    infos = make(a=SETTINGS["a"], b=SETTINGS["b"])
    for space, equal in (("factors", True), ("delta", False)):
        plus, minus = (combine(infos, {"a": sign * 0.5, "b": sign * 1.25}, tmp_path, space) for sign in (1, -1))
        assert torch.equal(logits(plus, tmp_path), logits(minus, tmp_path)) == equal


def test_its_description_is_that_of_an_adapter_on_the_base(make, tmp_path):
    infos = make(**SETTINGS)
    info = combine(infos, {"a": 0.5, "b": 0.5}, tmp_path)
    assert info.base == infos["a"].base
    assert info.parameters == infos["a"].parameters
    assert info.fingerprint not in {other.fingerprint for other in infos.values()}
    assert [parent["name"] for parent in info.parents] == ["a", "b", "base"]
    recipe = Recipe.from_json(info.recipe)
    assert info == describe_merge("combined", recipe, list(infos.values()), info.folder(tmp_path), tmp_path)
    wider = combine(infos, {"a": 0.5, "b": 0.5}, tmp_path, "delta")
    added_by_one = infos["a"].parameters - infos["base"].parameters
    assert wider.parameters == infos["base"].parameters + 2 * added_by_one


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        ({"r": 8, "lora_alpha": 8}, r"lora_A\.weight is \(8, \d+\), and \(4, \d+\) in a"),
        ({"r": 4, "target_modules": ["q_proj"]}, "v_proj.*is missing"),
        ({"r": 4, "use_dora": True}, "use_dora: True"),
        ({"r": 4, "rank_pattern": {"v_proj": 2}}, "rank_pattern"),
        ({"r": 4, "modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"r": 4, "init_lora_weights": "pissa"}, "init_lora_weights: pissa"),
    ],
)
def test_other_shapes_and_kinds_are_refused_by_name(make, tmp_path, other, fault):
    infos = make(a=SETTINGS["a"], strange=other)
    with pytest.raises(RequestError, match=fault) as caught:
        combine(infos, {"a": 0.5, "strange": 0.5}, tmp_path)
    assert "models.strange" in str(caught.value)


def test_another_base_is_refused_by_name(make, tmp_path):
    infos = make(a=SETTINGS["a"], b=SETTINGS["b"])
    infos["b"] = type(infos["b"])(**{**vars(infos["b"]), "base": {**infos["b"].base, "fingerprint": "another"}})
    with pytest.raises(RequestError, match=r"is no adapter on base") as caught:
        combine(infos, {"a": 0.5, "b": 0.5}, tmp_path)
    assert "models.b" in str(caught.value)
