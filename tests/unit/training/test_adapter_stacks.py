"""Adapters on adapters: a round trains on top of what there is, and keeps all of it as one adapter."""

from dataclasses import replace

import pytest
import torch

from moco.config.engine import EngineSettings
from moco.engines.transformers import load_model
from moco.models.resolve import _adapter, describe_student
from moco.records import read_json
from moco.training.encoding import encode
from moco.training.examples import Example
from moco.training.network import load_network, save_stacked
from moco.training.run import checked, train

TAUGHT = [Example("Say the word.", "7", uid="t/distill/0"), Example("And the other one?", "b", uid="t/distill/1")]
HOW = {"rank": 2, "alpha": 3, "learning_rate": 1e-2, "batch": 2}


@pytest.fixture
def parent(tiny_checkpoint, tiny_adapter, resolved):
    """Return the description of an adapter on the tiny model, and the project folder."""
    root = tiny_checkpoint("base").parent
    return _adapter("lora", tiny_adapter(), resolved(tiny_checkpoint("base"), "base"), root, {}, "models.lora"), root


@torch.inference_mode()
def logits(info, root, dtype="float64"):
    model = load_model(info, root, EngineSettings(dtype=dtype), torch.device("cpu"))
    return model(input_ids=torch.tensor([[5, 9, 2, 30, 4]])).logits


def student(tmp_path, parent, root, name, *, stack, steps, **how):
    output, scratch = tmp_path / name, tmp_path / f"{name}-scratch"
    output.mkdir()
    scratch.mkdir()
    train("sft", parent, root, TAUGHT, {**HOW, "steps": steps, **how}, [1], output, scratch, stack=stack)
    return describe_student(name, parent, output, root)


@pytest.mark.parametrize("stack", [True, False])
def test_a_round_begins_with_the_logits_of_the_student_before(tmp_path, parent, stack):
    info, root = parent
    network = load_network(info, root, checked("sft", HOW, info), 1, tmp_path, stack=stack).eval()
    tokens = torch.tensor([[5, 9, 2, 30, 4]])
    with torch.inference_mode():
        begun = network(input_ids=tokens).logits
    before = logits(info, root, "float32")
    assert (begun - before).abs().max() <= (0 if stack else 1e-5)
    assert (begun - logits(replace(info, **info.base, base=None), root, "float32")).abs().max() > 1e-2


def test_a_stack_is_one_adapter_that_adds_both_exactly(tmp_path, parent, monkeypatch):
    info, root = parent
    trained = []

    def save(network, *args):
        trained.append(network)
        return save_stacked(network, *args)

    monkeypatch.setattr("moco.training.network.save_stacked", save)
    made = student(tmp_path, info, root, "next", stack=True, steps=3)
    config = read_json(tmp_path / "next" / "adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (4 + 2, 4 + 2)
    assert made.base == info.base
    with torch.inference_mode():
        wanted = trained[0].merge_and_unload().double()(input_ids=torch.tensor([[5, 9, 2, 30, 4]])).logits
    moved = (logits(made, root) - logits(info, root)).abs().max()
    assert (logits(made, root) - wanted).abs().max() < 1e-4 * moved, "float32 rounds the weights that were trained on"


def test_a_stack_without_a_step_is_the_adapter_below(tmp_path, parent):
    info, root = parent
    made = student(tmp_path, info, root, "next", stack=True, steps=0)
    assert torch.equal(logits(made, root), logits(info, root))


def test_a_third_round_stands_on_the_first_two(tmp_path, parent):
    info, root = parent
    first = student(tmp_path, info, root, "first", stack=True, steps=3)
    second = student(tmp_path, first, root, "second", stack=True, steps=0)
    assert read_json(tmp_path / "second" / "adapter_config.json")["r"] == 4 + 2 + 2
    assert torch.equal(logits(second, root), logits(first, root))
    assert read_json(tmp_path / "second" / "training.json")["steps"] == 0


def test_what_is_taught_becomes_likelier_from_round_to_round(tmp_path, parent):
    """The student of round 2 starts from the raised value and raises it further."""
    info, root = parent
    encoded = encode(TAUGHT, info, root, None)

    @torch.inference_mode()
    def likelihood(of):
        model = load_model(of, root, EngineSettings(dtype="float64"), torch.device("cpu"))
        total = 0.0
        for each in encoded:
            logprobs = model(input_ids=torch.tensor([[*each.prompt, *each.reply]])).logits[0].log_softmax(-1)
            total += sum(float(logprobs[len(each.prompt) - 1 + at, token]) for at, token in enumerate(each.reply))
        return total

    first = student(tmp_path, info, root, "first", stack=True, steps=5)
    again = student(tmp_path, first, root, "again", stack=True, steps=0)
    second = student(tmp_path, first, root, "second", stack=True, steps=5)
    assert likelihood(info) < likelihood(first) == likelihood(again) < likelihood(second)
