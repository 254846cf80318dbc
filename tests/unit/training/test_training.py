"""Training of tiny models: what is read, what is learnt, and that an interruption or a second run changes nothing."""

import json
import math

import pytest
import torch
import trl
from transformers import AutoModelForCausalLM, AutoTokenizer

from moco.config.engine import EngineSettings
from moco.config.training import KINDS
from moco.digest import file_digest
from moco.engines.render import Renderer
from moco.engines.transformers import load_model
from moco.errors import RequestError, WorkError
from moco.models.resolve import _adapter, describe_student
from moco.records import CURVE, EXAMPLES, read_json, read_rows
from moco.training import network, trainers
from moco.training.encoding import encode
from moco.training.examples import Example
from moco.training.run import train
from moco.training.trainers import reading_order

TAUGHT = [Example("Say the word.", "7", uid="t/dev/0", source="one"), Example("And the other one?", "b", uid="t/dev/1")]
PREFERRED = [Example("Say the word.", "7", "9"), Example("And the other one?", "b", "c d")]
LORA = {"rank": 4, "learning_rate": 1e-2}
WAYS = {
    "sft": ("sft", TAUGHT, {**LORA, "dropout": 0.2, "batch": 1}),
    "dpo": ("dpo", PREFERRED, {**LORA, "batch": 1}),
    "grpo": ("grpo", TAUGHT, {**LORA, "batch": 4, "micro_batch": 2, "group": 2, "max_new_tokens": 4}),
}


def length_reward(replies):
    return [float(len(text)) for _, text in replies]


@pytest.fixture
def taught(tmp_path, tiny_checkpoint, resolved):
    """Return a trainer of the tiny model: it gives the folder that was made."""
    parent = resolved(tiny_checkpoint("base"), "base")

    class Taught:
        info = parent
        root = tiny_checkpoint("base").parent

        def __call__(self, kind, examples, name="made", info=parent, reward=length_reward, held_out=(), seed=1, **how):
            output, scratch = tmp_path / name / "out", tmp_path / name / "scratch"
            output.mkdir(parents=True, exist_ok=True)
            scratch.mkdir(exist_ok=True)
            train(kind, info, self.root, examples, how, [seed], output, scratch, reward, held_out=held_out)
            return output

    return Taught()


@pytest.fixture
def adapter(tiny_adapter, taught):
    """Return the description of an adapter on the tiny model."""
    return _adapter("lora", tiny_adapter(), taught.info, taught.root, {}, "models.lora")


def files(folder):
    return {path.name: file_digest(path) for path in sorted(folder.iterdir())}


def curve(folder, metric):
    return [row["value"] for row in read_rows(folder / "curve.parquet", CURVE) if row["metric"] == metric]


@torch.inference_mode()
def logits(info, root):
    model = load_model(info, root, EngineSettings(dtype="float32"), torch.device("cpu"))
    return model(input_ids=torch.tensor([[5, 9, 2, 30, 4]])).logits


# What is read


def test_a_model_learns_on_the_prompt_of_inference_and_on_the_end_of_its_turn(taught):
    tokenizer = AutoTokenizer.from_pretrained(taught.info.folder(taught.root))
    for each, example in zip(encode(TAUGHT, taught.info, taught.root, None), TAUGHT, strict=True):
        assert each.prompt == Renderer(taught.info, taught.root).render(example.prompt, 1).tokens
        assert each.reply[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(each.reply[:-1]) == example.reply
        assert each.rejected == ()


def test_a_reply_ends_as_the_template_ends_a_turn(taught):
    renderer = Renderer(taught.info, taught.root)
    tokenizer = renderer._tokenizer
    special = next(token for token in tokenizer.all_special_tokens if token != tokenizer.eos_token)
    tokenizer.chat_template = "{% for m in messages %}<{{ m.content }}>" + special + "\n{% endfor %}"
    assert renderer.end == tokenizer.convert_tokens_to_ids(special)


def test_the_first_loss_is_the_mean_over_reply_tokens_alone(taught):
    made = taught("sft", TAUGHT, steps=1, batch=2)
    network = AutoModelForCausalLM.from_pretrained(taught.info.folder(taught.root), dtype=torch.float64)
    losses = []
    for each in encode(TAUGHT, taught.info, taught.root, None):
        with torch.inference_mode():
            logprobs = network(torch.tensor([[*each.prompt, *each.reply]])).logits[0].log_softmax(-1)
        losses += [-float(logprobs[len(each.prompt) - 1 + at, token]) for at, token in enumerate(each.reply)]
    assert curve(made, "loss") == [pytest.approx(sum(losses) / len(losses), rel=1e-5)]


def test_the_output_layer_reads_what_is_learnt_alone(taught, monkeypatch):
    read = []

    class Counted:
        @staticmethod
        def apply(hidden, *rest):
            read.append(len(hidden))
            return fused.apply(hidden, *rest)

    fused = trl.trainer.utils._ChunkedLogProbFunction
    monkeypatch.setattr("trl.trainer.utils._ChunkedLogProbFunction", Counted)
    folder = taught("sft", TAUGHT, steps=2, batch=2)
    rows = read_rows(folder / "examples.parquet", EXAMPLES)
    assert read == [sum(row["reply_tokens"] for row in rows)] * 2


def test_parts_of_a_step_change_the_result_by_rounding_alone(taught):
    examples = [*TAUGHT, Example("A third one, which is longer?", "three words here", uid="x"), Example("4", "four")]
    whole, parts = (taught("sft", examples, name, steps=2, batch=4, micro_batch=n) for name, n in (("a", 4), ("b", 1)))
    assert curve(whole, "loss") == pytest.approx(curve(parts, "loss"), rel=1e-4)


def test_what_was_learnt_lies_beside_the_weights_with_its_origin(taught):
    long = Example("Too long", "word " * 900, uid="t/dev/2")
    made = taught("sft", [*TAUGHT, long], steps=2, batch=2)
    rows = read_rows(made / "examples.parquet", EXAMPLES)
    assert [(row["uid"], row["source"], row["reply"]) for row in rows[:2]] == [
        ("t/dev/0", "one", "7"),
        ("t/dev/1", "", "b"),
    ]
    assert [row["flag"] for row in rows] == ["ok", "ok", "left out"]
    note = read_json(made / "training.json")
    assert (note["examples"], note["left_out"]) == (3, 1)
    assert note["tokens"] == 2 * sum(row["prompt_tokens"] + row["reply_tokens"] for row in rows[:2])
    assert note["rank"] is None


def test_every_example_is_read_once_before_any_is_read_again():
    how = KINDS["sft"](steps=7, batch=3)
    order = reading_order(5, how, 1)
    assert len(order) == 21
    for epoch in range(4):
        assert sorted(order[5 * epoch : 5 * epoch + 5]) == [0, 1, 2, 3, 4]
    assert order[:5] != order[5:10]
    assert order == reading_order(5, how, 1) != reading_order(5, how, 2)
    assert len(reading_order(5, KINDS["sft"](epochs=1.5, batch=4), 1)) == 8
    assert len(reading_order(5, KINDS["grpo"](epochs=1, batch=4, group=2), 1)) == 6, "whole steps of two groups"


OTHERS = [Example("Another?", "c d", uid="t/dev/8"), Example("Say it again.", "e", uid="t/dev/9")]


def test_the_loss_on_what_is_held_out_is_measured_before_and_after_and_changes_nothing(taught):
    how = {"steps": 4, "batch": 2, "learning_rate": 1e-3, "rank": 4, "dropout": 0.5}
    alone, measured = (taught("sft", TAUGHT, name, held_out=apart, **how) for name, apart in (("a", []), ("b", OTHERS)))
    weights = "adapter_model.safetensors"
    assert (alone / weights).read_bytes() == (measured / weights).read_bytes()
    assert "held_out" not in read_json(alone / "training.json")
    note = read_json(measured / "training.json")["held_out"]
    network = AutoModelForCausalLM.from_pretrained(taught.info.folder(taught.root), dtype=torch.float64)
    losses, tokens = [], 0
    for each in encode(OTHERS, taught.info, taught.root, None):
        tokens += len(each.prompt) + len(each.reply)
        with torch.inference_mode():
            logprobs = network(torch.tensor([[*each.prompt, *each.reply]])).logits[0].log_softmax(-1)
        losses += [-float(logprobs[len(each.prompt) - 1 + at, token]) for at, token in enumerate(each.reply)]
    assert note["before"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert note["after"] != note["before"]
    assert (note["examples"], note["tokens"]) == (2, 2 * tokens)
    assert curve(measured, "held_out_loss") == [note["before"], note["after"]]
    rows = read_rows(measured / "examples.parquet", EXAMPLES)
    assert [(row["uid"], row["held_out"]) for row in rows][2:] == [("t/dev/8", True), ("t/dev/9", True)]


# What is learnt


def test_a_preference_is_measured_against_the_model_as_it_was(taught, adapter):
    for name, info, how in (("whole", taught.info, {}), ("adapter", adapter, {"rank": 4})):
        made = taught("dpo", PREFERRED, name, info, steps=6, batch=2, learning_rate=2e-3, **how)
        assert curve(made, "margin")[0] == pytest.approx(0, abs=1e-5)
        assert curve(made, "loss")[0] == pytest.approx(math.log(2), abs=1e-5)
        assert curve(made, "margin")[-1] > 0.05


def test_rewarded_replies_become_likelier(taught):
    seen = []

    def reward(replies):
        seen.append(replies)
        return [float("a" in text) for _, text in replies]

    how = {"steps": 15, "batch": 16, "group": 8, "learning_rate": 2e-3, "max_new_tokens": 6}
    made = taught("grpo", TAUGHT, reward=reward, **how)
    rewards = curve(made, "reward")
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.2
    assert {uid for replies in seen for uid, _ in replies} == {"t/dev/0", "t/dev/1"}
    for replies in seen:  # a step has whole groups
        counts = [uid for uid, _ in replies]
        assert {counts.count(uid) for uid in counts} <= {8, 16}
    assert read_json(made / "training.json")["written"] > 0


def test_equal_replies_to_items_of_different_gold_have_different_rewards(taught):
    how = {"steps": 3, "batch": 8, "group": 4, "learning_rate": 0.0, "max_new_tokens": 2}
    made = taught("grpo", TAUGHT, reward=lambda replies: [float(uid == "t/dev/0") for uid, _ in replies], **how)
    assert curve(made, "groups_without_spread") == [1.0] * 3
    assert curve(made, "reward") == [0.5] * 3
    still = describe_student("still", taught.info, made, taught.root)
    assert torch.equal(logits(still, taught.root), logits(taught.info, taught.root)), "a rate of 0 changes nothing"


# Adapters


def test_an_adapter_that_goes_on_begins_as_its_parent_exactly(taught, adapter):
    made = taught("sft", TAUGHT, info=adapter, steps=0, rank=8)
    info = describe_student("next", adapter, made, taught.root)
    assert (info.base, info.kind) == (adapter.base, "student")
    assert info.parents == ({"name": "lora", "fingerprint": adapter.fingerprint},)
    assert info.parameters == adapter.parameters
    assert torch.equal(logits(info, taught.root), logits(adapter, taught.root))
    assert not torch.equal(logits(info, taught.root), logits(taught.info, taught.root))


def test_an_adapter_that_goes_on_keeps_what_it_had(taught, adapter):
    made = taught("sft", TAUGHT, info=adapter, steps=1, rank=8, learning_rate=1e-6)
    near = logits(describe_student("next", adapter, made, taught.root), taught.root)
    parent, base = logits(adapter, taught.root), logits(taught.info, taught.root)
    assert 0 < (near - parent).abs().max() < 0.01 * (base - parent).abs().max()


def test_an_adapter_that_went_on_twice_gives_from_disk_what_it_gave_in_the_end(taught, adapter, monkeypatch):
    seen = []
    save = network.save_network

    def saved(trained, *others):
        trained.eval()
        with torch.inference_mode():
            seen.append(trained(input_ids=torch.tensor([[5, 9, 2, 30, 4]])).logits.float())
        save(trained, *others)

    monkeypatch.setattr(network, "save_network", saved)
    info = adapter
    for name in ("first", "second"):
        made = taught("dpo", PREFERRED, name, info, steps=2, batch=2, rank=4, learning_rate=1e-3)
        info = describe_student(name, info, made, taught.root)
        assert torch.allclose(logits(info, taught.root), seen[-1], atol=1e-5)
    assert not torch.allclose(*seen, atol=1e-5)


# Exactness


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("goes_on", [False, True], ids=["new", "goes on"])
def test_an_interruption_changes_nothing(taught, adapter, monkeypatch, way, goes_on):
    kind, examples, how = WAYS[way]
    info = adapter if goes_on else taught.info
    whole = taught(kind, examples, "whole", info, steps=5, **how)
    monkeypatch.setattr(trainers, "CHECKPOINT_SECONDS", 0.0)
    step = trainers._Checkpoints.on_step_begin

    def killed(_self, _args, state, _control, **_kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainers._Checkpoints, "on_step_begin", killed)
    with pytest.raises(KeyboardInterrupt):
        taught(kind, examples, "broken", info, steps=5, **how)
    monkeypatch.setattr(trainers._Checkpoints, "on_step_begin", step)
    started = []
    monkeypatch.setattr(
        trainers._Checkpoints, "on_train_begin", lambda *args, **_kwargs: started.append(args[2].global_step)
    )
    assert files(taught(kind, examples, "broken", info, steps=5, **how)) == files(whole)
    assert started == [3], "it went on and did not begin anew"


def test_a_checkpoint_that_was_not_written_to_its_end_is_not_used(taught, tmp_path):
    half = tmp_path / "made" / "scratch" / "checkpoints" / "checkpoint-2"
    half.mkdir(parents=True)
    (half / "trainer_state.json").write_text("{")
    made = taught("sft", TAUGHT, steps=2, batch=1)
    assert len(curve(made, "loss")) == 2


@pytest.mark.parametrize("way", WAYS)
def test_training_twice_gives_the_same_and_another_seed_gives_another(taught, way):
    kind, examples, how = WAYS[way]
    torch.manual_seed(5)
    first = files(taught(kind, examples, "a", steps=2, **how))
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), after), "global randomness is left as it was"
    assert first == files(taught(kind, examples, "b", steps=2, **how))
    other = files(taught(kind, examples, "c", seed=2, steps=2, **how))
    assert first["adapter_model.safetensors"] != other["adapter_model.safetensors"]


# What cannot be


def test_what_cannot_be_trained_is_said_in_one_line(taught):
    faults = [
        ("nothing to learn: no example", "sft", [], {}),
        ("none of 1 replies leaves room", "sft", [Example("a", "word " * 900)], {}),
        ("micro_batch 3 does not divide batch 4", "sft", TAUGHT, {"batch": 4, "micro_batch": 3}),
        ("group 4 does not divide batch 6", "grpo", TAUGHT, {"batch": 6}),
    ]
    for match, kind, examples, how in faults:
        with pytest.raises(RequestError, match=match) as caught:
            taught(kind, examples, **how)
        assert "\n" not in str(caught.value)


def test_numbers_that_are_none_fail_the_training(taught):
    with pytest.raises(WorkError, match="is not finite at step"):
        taught("sft", TAUGHT, steps=30, batch=2, learning_rate=1e30, max_norm=0.0)


def test_every_setting_of_every_kind_is_part_of_the_identity():
    for section in KINDS.values():
        assert set(section().slice()) == set(section.model_fields)
        assert json.dumps(section().slice())
