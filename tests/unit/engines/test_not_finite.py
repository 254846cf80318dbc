"""Numbers that are none: one line, and nothing in the store; and eager attention, whose padding once made some."""

import dataclasses
import shutil

import pytest
import torch
from support.checkpoints import judge_checkpoints
from support.engines import joint_request, plain_request

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import LocalModel
from moco.decoding.fusion import mean_of_logits
from moco.engines.base import MeasureRequest, TextRequest
from moco.engines.measures import RewardModel, TextEncoder
from moco.engines.transformers import TransformersEngine
from moco.errors import WorkError
from moco.jobs.inference import Inference
from moco.jobs.joint import JointInference
from moco.methods.base import Choice
from moco.models.resolve import resolve
from moco.store.generations import GenerationStore

GREEDY = Decoding(max_new_tokens=8, temperature=0)
QUESTIONS = [f"What is {number} + {number * 7}?" + " Think." * number for number in range(6)]
ONE_LINE = r"^models\.\w+ \(\w+, dtype float\d+, attention auto\): gives numbers that are not finite[^\n]*engine\.dtype"


def damaged(folder, target, change):
    """Return a copy of a checkpoint whose tensors `change` has changed."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    tensors = load_file(target / "model.safetensors")
    change(tensors)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    return target


def nan_norm(tensors):
    tensors["model.norm.weight"][0] = float("nan")


def too_large_for_half(tensors):
    tensors["model.layers.0.mlp.up_proj.weight"] *= 1e4
    tensors["model.layers.0.mlp.gate_proj.weight"] *= 1e4


def one_token(tensors):
    """Overflow with one token of the vocabulary only, which is in no prompt of the check."""
    tensors["model.embed_tokens.weight"][RARE] = float("nan")


def located(info, folder):
    return dataclasses.replace(info, location=str(folder))


RARE = 2
"""Of the vocabulary, a token that neither the check nor a question reads."""


@pytest.fixture
def inference(resolved, tmp_path):
    def of(folders, dtype="float64", **settings) -> Inference:
        infos = {name: located(resolved(folder, name, dtype=dtype), folder) for name, folder in folders.items()}
        engines = dict.fromkeys(infos, EngineSettings(dtype=dtype, **settings))
        return Inference(infos, engines, GenerationStore(tmp_path / "store"), tmp_path)

    return of


def stored(folder):
    return [path for path in (folder / "store").rglob("*.parquet")]


@pytest.mark.parametrize(
    ("change", "dtype"), [(nan_norm, "float64"), (nan_norm, "float32"), (too_large_for_half, "float16")]
)
def test_no_reply_no_joint_reply_and_no_text_is_stored(tiny_checkpoint, inference, tmp_path, change, dtype):
    folder = damaged(tiny_checkpoint("base"), tmp_path / "bad", change)
    asked = inference({"bad": folder, "good": tiny_checkpoint("base")}, dtype)
    with pytest.raises(WorkError, match=ONE_LINE):
        asked.run([plain_request("bad", question, GREEDY) for question in QUESTIONS], 1)
    with pytest.raises(WorkError, match=ONE_LINE):
        JointInference(asked, ["good", "bad"]).run([joint_request("What?", GREEDY)], mean_of_logits(2), 1)
    with pytest.raises(WorkError, match=ONE_LINE):
        asked.score_texts([Choice("bad", "item", question, ("A",), "options") for question in QUESTIONS])
    assert stored(tmp_path) == []
    assert asked.run([plain_request("good", QUESTIONS[0], GREEDY)], 1)[0].response.text is not None
    assert len(stored(tmp_path)) > 0


def test_the_check_once_passed_is_no_excuse(tiny_checkpoint, resolved, tmp_path):
    """A model that shares the check of another, since their configurations are equal, has weights of its own."""
    good = TransformersEngine(
        located(resolved(tiny_checkpoint("base")), tiny_checkpoint("base")), tmp_path, EngineSettings()
    )
    assert good._steps == "batched"
    bad = damaged(tiny_checkpoint("base"), tmp_path / "bad", nan_norm)
    engine = TransformersEngine(located(resolved(bad, "bad"), bad), tmp_path, EngineSettings())
    with pytest.raises(WorkError, match=ONE_LINE):
        list(engine.score_text([TextRequest("k", (5, 6), (7, 8))]))
    part = damaged(tiny_checkpoint("base"), tmp_path / "part", one_token)
    engine = TransformersEngine(located(resolved(part, "part"), part), tmp_path, EngineSettings())
    with pytest.raises(WorkError, match=ONE_LINE):
        list(engine.score_text([TextRequest("k", (5, 6), (7, RARE, 8))]))
    assert len(list(engine.score_text([TextRequest("k", (5, 6), (7, 8))]))) == 1


def test_rewards_and_vectors(tmp_path):
    folders = judge_checkpoints(tmp_path, 96)

    def nan_everywhere(tensors):
        for tensor in tensors.values():
            tensor[:] = float("nan")

    for purpose, kind, pooling in (("reward", RewardModel, None), ("embed", TextEncoder, "mask")):
        folder = damaged(folders[purpose], tmp_path / f"bad-{purpose}", nan_everywhere)
        info = resolve(purpose, LocalModel(kind="local", path=str(folder), purpose=purpose), EngineSettings(), tmp_path)
        with pytest.raises(WorkError, match=ONE_LINE):
            list(getattr(kind(info, tmp_path, EngineSettings()), purpose)([MeasureRequest("k", (5, 6, 7), pooling)]))


def test_eager_attention_says_what_sdpa_says(tiny_checkpoint, inference):
    folders = {"one": tiny_checkpoint("base", 0), "two": tiny_checkpoint("base", 1)}
    said = {}
    for attention in ("sdpa", "eager"):
        asked = inference(folders, attention=attention)
        alone = asked.run([plain_request("one", question, GREEDY) for question in QUESTIONS], 1)
        fused = JointInference(asked, ["one", "two"]).run(
            [joint_request(question, GREEDY) for question in QUESTIONS], mean_of_logits(2), 1
        )
        replies = [*alone, *fused]
        assert not any(reply.cached for reply in replies)
        said[attention] = [reply.response.text for reply in replies]
    assert said["eager"] == said["sdpa"]
    assert len(set(said["sdpa"])) > 6


@pytest.mark.parametrize("setting", [{"attention": "eager"}, {"attention": "sdpa"}, {"dtype": "float32"}])
def test_attention_and_type_are_in_every_key(tiny_checkpoint, inference, setting):
    folders = {"one": tiny_checkpoint("base", 0), "two": tiny_checkpoint("base", 1)}

    def keys(**settings):
        asked = inference(folders, **settings)
        fused = JointInference(asked, ["one", "two"]).run([joint_request("What?", GREEDY)], mean_of_logits(2), 1)
        return {
            asked.run([plain_request("one", "What?", GREEDY)], 1)[0].response.key,
            asked.score_texts([Choice("one", "item", "What?", ("A",), "options")])[0][0].stored.key,
            fused[0].response.key,
        }

    assert len(keys() | keys(**setting)) == 6
    assert keys() == keys(batch_rows=2)


def test_attention_and_type_are_in_the_keys_of_measures():
    from moco.store.keys import measure_key

    settings = [EngineSettings(), EngineSettings(attention="eager"), EngineSettings(dtype="float32")]
    assert len({measure_key("reward", "f", "t", {}, each.key()) for each in settings}) == 3


def test_a_float_that_is_not_finite_is_found_in_any_row():
    from moco.decoding.stepper import finite

    logits = torch.zeros(3, 5)
    logits[0, 1] = -torch.inf
    assert finite(logits, "") is logits
    for value in (torch.nan, torch.inf):
        broken = logits.clone()
        broken[2, 4] = value
        with pytest.raises(WorkError):
            finite(broken, "models.m")
    logits[1] = -torch.inf
    with pytest.raises(WorkError):
        finite(logits, "models.m")
