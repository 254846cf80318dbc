import json
import logging
import multiprocessing
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from moco.config.runtime import write_study_file
from moco.digest import digest, file_digest
from moco.errors import WorkError
from moco.models.weights import count_parameters
from moco.store.checksums import publish
from moco.zoo.build import build, location
from moco.zoo.packaged import WEIGHTS
from moco.zoo.roster import ROSTER, recipe

torch = pytest.importorskip("torch")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from moco.zoo import train as trainer  # noqa: E402
from moco.zoo.curriculum import pairs  # noqa: E402
from moco.zoo.networks import create  # noqa: E402
from moco.zoo.objectives import encode  # noqa: E402
from moco.zoo.tokenizer import train_tokenizer  # noqa: E402

STEPS = 6
FEW = 1
TOKENIZER = train_tokenizer(768, 4096)
ALONE = [name for name, model in ROSTER.items() if model.parent is None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that holds what its tests have built, with few steps."""
    return tmp_path_factory.mktemp("zoo")


@pytest.mark.parametrize("name", ALONE)
def test_declared_parameters_are_right(name):
    model = ROSTER[name]
    tokenizer = train_tokenizer(model.shape.vocabulary, model.context)
    network = create(model, tokenizer, None, 0)
    assert len(tokenizer) == model.shape.vocabulary
    assert model.parameters == pytest.approx(sum(one.numel() for one in network.parameters()), rel=0.02)
    assert network.config.model_type == model.family


@pytest.mark.parametrize("name", [name for name in ROSTER if name not in ALONE])
def test_declared_parameters_of_descendants_are_right(name):
    own = count_parameters(WEIGHTS / name)
    total = own + count_parameters(WEIGHTS / "base") if ROSTER[name].adapter else own
    assert ROSTER[name].parameters == pytest.approx(total, rel=0.02)


def test_training_sequences_are_rendered_as_at_inference():
    examples = pairs(ROSTER["base"], 0)
    for pair, (tokens, taught) in zip(examples, encode(TOKENIZER, examples), strict=True):
        turns = [{"role": "user", "content": pair.prompt}, {"role": "assistant", "content": pair.completion}]
        assert tokens == TOKENIZER.apply_chat_template(turns, return_dict=True)["input_ids"]
        first = TOKENIZER.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert taught == [False] * len(first) + [True] * (len(tokens) - len(first))


def test_random_weights_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, second = (create(ROSTER["base"], TOKENIZER, None, 0) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)
    assert not torch.equal(first.lm_head.weight, create(ROSTER["base"], TOKENIZER, None, 1).lm_head.weight)


@pytest.mark.slow
def test_built_folder_is_complete_and_loadable(tmp_path):
    folder = build("add", tmp_path, steps=FEW)
    assert folder == location("add", tmp_path, FEW) == tmp_path / "zoo" / f"{digest(recipe('add', FEW))[:16]}-add"
    assert location("base", tmp_path, FEW).is_dir()
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "zoo.json",
        "README.md",
    }
    assert json.loads((folder / "zoo.json").read_text())["recipe"] == recipe("add", FEW)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1 + 2?"}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    reply = model.generate(**prompt, max_new_tokens=4)
    assert reply.shape[1] > prompt["input_ids"].shape[1]
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert build("add", tmp_path, steps=FEW) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


def tree_digest(folder):
    """Return one digest of all files below a folder, by relative name and content."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest({str(path.relative_to(folder)): file_digest(path) for path in files})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "encoder"])
def test_training_twice_gives_the_same_bytes(name, tmp_path):
    first, second = (build(name, tmp_path / cache, steps=60) for cache in "ab")
    assert file_digest(first / "model.safetensors") == file_digest(second / "model.safetensors")
    assert tree_digest(first) == tree_digest(second)


@pytest.mark.slow
def test_an_adapter_has_the_same_bytes_in_another_process(cache, tmp_path):
    """Strings are hashed differently there, so that a set has another order."""
    code = (
        f"from moco.zoo.build import build; from pathlib import Path; build('lora_add', Path({str(tmp_path)!r}), {FEW})"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert tree_digest(location("lora_add", tmp_path, FEW)) == tree_digest(build("lora_add", cache, steps=FEW))


@pytest.mark.slow
def test_another_seed_is_another_model(cache):
    first, second = (build("encoder", cache, steps=FEW, seed=seed) for seed in (0, 1))
    assert first != second
    assert file_digest(first / "model.safetensors") != file_digest(second / "model.safetensors")


def test_an_adapter_is_a_peft_folder_on_the_base():
    from peft import PeftModel

    folder, base = WEIGHTS / "lora_recall", WEIGHTS / "base"
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 16, 32)
    assert settings["base_model_name_or_path"] == "base"
    assert not (folder / "model.safetensors").exists()
    plain = AutoModelForCausalLM.from_pretrained(base)
    before = plain.model.layers[0].mlp.up_proj.weight.clone()
    merged = PeftModel.from_pretrained(plain, folder).merge_and_unload()
    assert not torch.equal(before, merged.model.layers[0].mlp.up_proj.weight)


def test_encoder_and_reward_model_load_with_their_auto_classes():
    from transformers import AutoModel, AutoModelForSequenceClassification

    text = AutoTokenizer.from_pretrained(WEIGHTS / "encoder")(
        ["1 + 2?", "Write KEF backwards."], padding=True, return_tensors="pt", return_token_type_ids=False
    )
    assert text["attention_mask"][0].tolist()[-1] == 0
    assert AutoModel.from_pretrained(WEIGHTS / "encoder")(**text).last_hidden_state.shape[0] == 2
    reward = AutoModelForSequenceClassification.from_pretrained(WEIGHTS / "reward")
    assert reward(**text).logits.shape == (2, 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "add", "lora_add", "reward"])
def test_interrupted_training_ends_with_the_same_bytes(name, tmp_path):
    model = ROSTER[name]
    parent = None if model.parent is None else build(model.parent, tmp_path / "whole", steps=STEPS)
    whole = build(name, tmp_path / "whole", steps=STEPS)
    cache = tmp_path / "resumed"
    folder = location(name, cache, STEPS)
    work = cache / "zoo" / ".work" / folder.name
    with pytest.MonkeyPatch.context() as patch:
        step = trainer._step
        patch.setattr(trainer, "_SAVE_EVERY", 3)
        patch.setattr(trainer, "_step", lambda *given: 1 / 0 if given[4] == 4 else step(*given))
        with pytest.raises(ZeroDivisionError):
            trainer.train(
                model, STEPS, train_tokenizer(768, 4096, "left" if model.role == "chat" else "right"), work, parent
            )
    assert (work / "state.safetensors").exists()
    assert not folder.exists()
    resumed = build(name, cache, steps=STEPS)
    assert tree_digest(resumed) == tree_digest(whole)
    assert not work.exists()


@pytest.mark.slow
def test_settings_of_the_process_do_not_matter(tmp_path):
    first = build("small", tmp_path / "a", steps=STEPS)
    torch.manual_seed(17)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = build("small", tmp_path / "b", steps=STEPS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert tree_digest(first) == tree_digest(second)


def _build_and_log(cache, log, barrier):
    logging.basicConfig(filename=log, level=logging.INFO)
    barrier.wait()
    build("small", cache, steps=STEPS)


@pytest.mark.slow
def test_two_processes_train_a_model_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    processes = [context.Process(target=_build_and_log, args=(tmp_path / "cache", log, barrier)) for log in logs]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    trained = [f"step {STEPS}/{STEPS}" in log.read_text() for log in logs]
    assert sorted(trained) == [False, True]
    assert location("small", tmp_path / "cache", STEPS).is_dir()


@pytest.mark.slow
def test_training_reports_its_progress(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="moco")
    short = replace(ROSTER["base"], training=replace(ROSTER["base"].training, batch=8))
    _, curve = trainer.train(short, 10, TOKENIZER, tmp_path)
    assert len(curve) == 1
    assert "step 10/10, loss" in caplog.text


def test_what_a_process_left_that_was_killed_right_after_publishing_is_removed(tmp_path):
    folder, work = location("base", tmp_path, STEPS), tmp_path / "zoo/.work" / location("base", tmp_path, STEPS).name
    made_up("base", tmp_path)
    work.mkdir(parents=True)
    (work / "state.safetensors").write_bytes(b"x")
    assert build("base", tmp_path, STEPS) == folder
    assert not work.exists()
    assert (folder / "model.safetensors").read_bytes() == bytes(100)


def made_up(name, cache):
    """Put something in the place of a trained model."""
    folder = location(name, cache, STEPS)
    draft = cache / "draft"
    draft.mkdir(parents=True)
    (draft / "model.safetensors").write_bytes(bytes(100))
    folder.parent.mkdir()
    publish(draft, folder)
    return folder


def test_a_finished_model_is_handed_out_without_torch(tmp_path):
    made_up("base", tmp_path)
    code = (
        "import sys\nfrom moco.cli import main\n"
        f"assert main(['zoo', '--results', {str(tmp_path / 'results')!r}, '--model', 'b']) == 0\n"
        "print(*(name for name in ('torch', 'transformers', 'tokenizers') if name in sys.modules))"
    )
    study = {"study": "s", "models": {"b": {"kind": "zoo", "recipe": "base", "steps": STEPS}}, "pools": {"p": ["b"]}}
    study["tasks"] = {"t": {"source": {"kind": "synthetic", "skills": ["add"]}}}
    named = {"MOCO_CACHE": str(tmp_path), "MOCO_STUDY": str(write_study_file(study, tmp_path))}
    environment = {**os.environ, **named}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == ""
    copied = tmp_path / "results/checkpoints/b/model.safetensors"
    assert copied.read_bytes() == bytes(100)
    assert copied.stat().st_nlink == 1
    assert copied.stat().st_mode & 0o222 == 0


@pytest.mark.slow
def test_a_damaged_model_is_trained_again_and_what_grew_from_it_stays(tmp_path, caplog):
    folder = build("add", tmp_path, steps=FEW)
    base = location("base", tmp_path, FEW)
    before, stamp = tree_digest(base), (folder / "model.safetensors").stat().st_mtime_ns
    weights = base / "model.safetensors"
    about = weights.stat()
    weights.chmod(0o644)
    with weights.open("r+b") as stream:
        stream.seek(about.st_size - 1)
        stream.write(b"\xff")
    os.utime(weights, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert build("base", tmp_path, steps=FEW) == base
    assert tree_digest(base) == before
    assert base.with_name(f"{base.name}.damaged").is_dir()
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [f"{base} is damaged (the content of model.safetensors has changed): set aside, it is made again"]
    assert build("add", tmp_path, steps=FEW) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == stamp


def test_a_damaged_model_in_a_cache_of_others_is_one_line(tmp_path, monkeypatch):
    folder = made_up("base", tmp_path)
    assert build("base", tmp_path, STEPS) == folder
    (folder / "model.safetensors").chmod(0o644)
    (folder / "model.safetensors").write_bytes(bytes(99))
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(WorkError, match=r"99 bytes instead of 100\) and cannot be set aside.*MOCO_CACHE"):
        build("base", tmp_path, STEPS)
