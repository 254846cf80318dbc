"""On-policy distillation: the divergence, where it is measured, and that a student comes nearer to its teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from moco.config.engine import EngineSettings
from moco.config.training import OnPolicy
from moco.decoding.fusion import WeightedSum, mean_of_logits
from moco.engines.transformers import load_model
from moco.errors import RequestError
from moco.models.resolve import _adapter, describe_student
from moco.records import CURVE, read_json, read_rows
from moco.training import trainers
from moco.training.encoding import encode
from moco.training.examples import Example
from moco.training.on_policy import LoadedTeacher, Teacher, divergence, reply_logits
from moco.training.run import train

PROMPTS = [Example("Say the word.", uid="t/distill/0"), Example("And the other one, please?", uid="t/distill/1")]
HOW = {"rank": 4, "learning_rate": 1e-2, "batch": 4, "max_new_tokens": 5}


@pytest.fixture
def models(tiny_checkpoint, tiny_adapter, resolved):
    """Return the tiny model, an adapter on it, and the project folder."""
    base, root = resolved(tiny_checkpoint("base"), "base"), tiny_checkpoint("base").parent
    return base, _adapter("lora", tiny_adapter(), base, root, {}, "models.lora"), root


@pytest.fixture
def taught(tmp_path, models):
    """Return a trainer of a student of the tiny model: it gives the folder that was made."""

    def run(teacher, name="made", info=models[0], stack=False, held_out=(), **how):
        output, scratch = tmp_path / name / "out", tmp_path / name / "scratch"
        output.mkdir(parents=True, exist_ok=True)
        scratch.mkdir(exist_ok=True)
        settings = {**HOW, **how}
        options = {"stack": stack, "teacher": teacher, "held_out": held_out}
        train("on_policy", info, models[2], PROMPTS, settings, [1], output, scratch, **options)
        return output

    return run


def curve(folder, metric):
    return [row["value"] for row in read_rows(folder / "curve.parquet", CURVE) if row["metric"] == metric]


def kl(first, second):
    return float((first * (np.log(first) - np.log(second))).sum())


# The divergence


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_the_divergence_is_that_of_its_definition(beta):
    logits = torch.randn(2, 3, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, theirs = torch.softmax(logits, -1).numpy()
    found = divergence(logits[0], logits[1], beta)
    for row in range(3):
        s, t = ours[row], theirs[row]
        m = beta * t + (1 - beta) * s
        between = beta * kl(t, m) + (1 - beta) * kl(s, m)
        assert float(found[row]) == pytest.approx({0.0: kl(t, s), 1.0: kl(s, t)}.get(beta, between), rel=1e-9)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_equal_distributions_have_no_divergence_and_no_gradient(beta):
    logits = torch.randn(4, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    student = logits.clone().requires_grad_()
    loss = divergence(student, logits + 3.0, beta).sum()  # a constant changes no distribution
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert student.grad.abs().max() < 1e-12


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_a_step_along_the_gradient_lowers_the_divergence(beta):
    student, teacher = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(3))
    student.requires_grad_()
    before = divergence(student, teacher, beta).mean()
    before.backward()
    after = divergence(student - 0.1 * student.grad, teacher, beta).mean()
    assert after < before


def test_pieces_that_one_vocabulary_lacks_do_not_count():
    student, teacher = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(4))
    wide = torch.cat([teacher, torch.full((5, 2), 9.0)], dim=-1)
    assert torch.equal(divergence(student, wide, 1.0), divergence(student, teacher, 1.0))


# Where it is measured


def test_logits_of_replies_are_those_of_each_row_alone(models):
    base, _, root = models
    model = load_model(base, root, EngineSettings(dtype="float32"), torch.device("cpu"))
    prompts, replies = [[5, 9, 2], [7]], [[4, 3], [8, 1, 6, 2]]
    with torch.inference_mode():
        found = reply_logits(model, prompts, replies)
        alone = [
            model(input_ids=torch.tensor([[*prompt, *reply]])).logits[0, len(prompt) - 1 : -1]
            for prompt, reply in zip(prompts, replies, strict=True)
        ]
    assert torch.allclose(found, torch.cat(alone), atol=1e-5)


def test_a_teacher_of_several_models_is_their_combination(models):
    base, adapter, root = models
    how = OnPolicy(max_new_tokens=5)
    mixed = LoadedTeacher(Teacher((base, adapter, base), WeightedSum((0.5, 0.25, 0.25))), root, how, PROMPTS)
    parts = [LoadedTeacher(Teacher((info,), mean_of_logits(1)), root, how, PROMPTS) for info in (base, adapter)]
    replies, cpu = [[4, 3], [8]], torch.device("cpu")
    found, one, other = (each.logits([1, 0], replies, cpu) for each in (mixed, *parts))
    assert torch.allclose(found, 0.75 * one + 0.25 * other, atol=1e-5)
    assert not torch.allclose(one, other, atol=1e-3)


def test_a_student_of_another_vocabulary_is_refused_in_one_line(taught, models):
    other = replace(models[1], name="other", tokenizer="0" * 64)
    with pytest.raises(RequestError, match="cannot learn token by token from other, which has another vocabulary"):
        taught(Teacher((models[0], other), mean_of_logits(2)))


# What is learnt


def test_who_is_its_own_teacher_learns_nothing(taught, models):
    made = taught(Teacher((models[0],), mean_of_logits(1)), steps=1)
    assert curve(made, "loss") == [0.0]
    assert curve(made, "gradient_norm") == [pytest.approx(0.0, abs=1e-6)]


def test_a_student_comes_nearer_to_its_teacher(taught, models):
    made = taught(Teacher((models[1],), mean_of_logits(1)), steps=30, batch=16, rank=None, learning_rate=1e-3)
    losses = curve(made, "loss")
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


def test_the_first_loss_is_the_mean_divergence_over_all_tokens_of_the_step(taught, models, monkeypatch):
    base, adapter, root = models
    drawn = []
    draw = trainers._Rollouts.__call__

    def kept(self, model, prompts, step):
        replies = draw(self, model, prompts, step)
        drawn.append((prompts, replies))
        return replies

    monkeypatch.setattr(trainers._Rollouts, "__call__", kept)
    made = taught(Teacher((adapter,), mean_of_logits(1)), steps=1)
    [(prompts, replies)] = drawn
    assert len(prompts) == 4
    assert {tuple(prompt) for prompt in prompts} == {each.prompt for each in encode(PROMPTS, base, root, None, 5)}
    settings, cpu = EngineSettings(dtype="float64"), torch.device("cpu")
    with torch.inference_mode():
        ours, theirs = (
            reply_logits(load_model(info, root, settings, cpu), prompts, replies) for info in (base, adapter)
        )
        wanted = divergence(ours, theirs, 1.0).mean()
    assert curve(made, "loss") == [pytest.approx(float(wanted), rel=1e-4)]
    note = read_json(made / "training.json")
    assert note["written"] == sum(map(len, replies))
    assert note["tokens"] == sum(len(prompt) + len(reply) for prompt, reply in zip(prompts, replies, strict=True))
    assert note["teacher_flops"] == 2 * adapter.parameters * note["tokens"]


def test_the_divergence_on_held_out_prompts_falls_and_is_none_to_oneself(taught, models):
    own = taught(Teacher((models[0],), mean_of_logits(1)), "own", steps=0, held_out=PROMPTS[:1])
    assert curve(own, "held_out_loss") == [pytest.approx(0.0, abs=1e-6)] * 2
    how = {"steps": 30, "batch": 16, "rank": None, "learning_rate": 1e-3}
    made = taught(Teacher((models[1],), mean_of_logits(1)), **how, held_out=PROMPTS * 16)
    before, after = curve(made, "held_out_loss")
    assert after < 0.8 * before, f"{before} became {after}"


def test_parts_of_a_step_change_the_result_by_rounding_alone(taught, models):
    teacher = Teacher((models[1],), mean_of_logits(1))
    whole, parts = (taught(teacher, name, steps=3, micro_batch=n) for name, n in (("a", 4), ("b", 1)))
    assert curve(whole, "loss") == pytest.approx(curve(parts, "loss"), rel=1e-3)


def test_an_interruption_changes_nothing(taught, models, monkeypatch):
    teacher = Teacher((models[1],), mean_of_logits(1))
    whole = taught(teacher, "whole", steps=4)
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    begin = trainers._Checkpoints.on_step_begin

    def killed(_self, _args, state, _control, **_kwargs):
        if state.global_step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainers._Checkpoints, "on_step_begin", killed)
    with pytest.raises(KeyboardInterrupt):
        taught(teacher, "broken", steps=4)
    monkeypatch.setattr(trainers._Checkpoints, "on_step_begin", begin)
    made = taught(teacher, "broken", steps=4)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == {
        path.name: path.read_bytes() for path in whole.iterdir()
    }


def test_an_adapter_learns_on_top_of_itself(taught, models):
    base, adapter, root = models
    made = taught(Teacher((base,), mean_of_logits(1)), info=adapter, stack=True, steps=2)
    student = describe_student("next", adapter, made, root)
    assert student.base == adapter.base
    assert read_json(made / "adapter_config.json")["r"] == 4 + 4
