import json
import logging
import multiprocessing
from dataclasses import replace

import pytest

from moco.digest import digest, file_digest, tree_digest
from moco.zoo.build import build, location
from moco.zoo.roster import ROSTER, recipe

torch = pytest.importorskip("torch")

from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from moco.zoo.curriculum import pairs  # noqa: E402
from moco.zoo.tokenizer import train_tokenizer  # noqa: E402
from moco.zoo.train import create, encode, train  # noqa: E402

STEPS = 6
TOKENIZER = train_tokenizer(512, 4096)


@pytest.mark.parametrize("name", ROSTER)
def test_declared_parameters_are_right(name):
    model = ROSTER[name]
    real = sum(parameter.numel() for parameter in create(model, TOKENIZER).parameters())
    assert model.parameters == pytest.approx(real, rel=0.02)


def test_training_sequences_are_rendered_as_at_inference():
    examples = pairs(ROSTER["base"], 0)
    for pair, (tokens, taught) in zip(examples, encode(TOKENIZER, examples), strict=True):
        turns = [{"role": "user", "content": pair.prompt}, {"role": "assistant", "content": pair.completion}]
        assert tokens == TOKENIZER.apply_chat_template(turns, return_dict=True)["input_ids"]
        first = TOKENIZER.apply_chat_template(turns[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
        assert taught == [False] * len(first) + [True] * (len(tokens) - len(first))


def test_random_weights_leave_the_global_generator_alone():
    before = torch.get_rng_state()
    first, second = (create(ROSTER["base"], TOKENIZER) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.lm_head.weight, second.lm_head.weight)


@pytest.mark.slow
def test_built_folder_is_complete_and_loadable(tmp_path):
    folder = build("add", tmp_path, steps=STEPS)
    assert folder == location("add", tmp_path, STEPS) == tmp_path / "zoo" / f"{digest(recipe('add', STEPS))[:16]}-add"
    assert location("base", tmp_path, STEPS).is_dir()
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
    assert json.loads((folder / "zoo.json").read_text())["recipe"] == recipe("add", STEPS)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1 + 2?"}], add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    reply = model.generate(**prompt, max_new_tokens=4)
    assert reply.shape[1] > prompt["input_ids"].shape[1]
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    stamps = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert build("add", tmp_path, steps=STEPS) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == stamps


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(tmp_path):
    first, second = (build("base", tmp_path / cache, steps=STEPS) for cache in "ab")
    assert file_digest(first / "model.safetensors") == file_digest(second / "model.safetensors")
    assert tree_digest(first) == tree_digest(second)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "add"])
def test_interrupted_training_ends_with_the_same_bytes(name, tmp_path):
    model = ROSTER[name]
    parent = None if model.parent is None else build(model.parent, tmp_path / "whole", steps=STEPS)
    whole = build(name, tmp_path / "whole", steps=STEPS)
    cache = tmp_path / "resumed"
    folder = location(name, cache, STEPS)
    work = cache / "zoo" / ".work" / folder.name
    train(model, STEPS, TOKENIZER, work, parent, stop_at=3)
    assert (work / "state.safetensors").exists()
    assert not folder.exists()
    resumed = build(name, cache, steps=STEPS)
    assert tree_digest(resumed) == tree_digest(whole)
    assert not work.exists()


@pytest.mark.slow
def test_settings_of_the_process_do_not_matter(tmp_path):
    first = build("base", tmp_path / "a", steps=STEPS)
    torch.manual_seed(17)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        second = build("base", tmp_path / "b", steps=STEPS)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert tree_digest(first) == tree_digest(second)


def _build_and_log(cache, log, barrier):
    logging.basicConfig(filename=log, level=logging.INFO)
    barrier.wait()
    build("base", cache, steps=STEPS)


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
    assert location("base", tmp_path / "cache", STEPS).is_dir()


@pytest.mark.slow
def test_training_reports_its_progress(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="moco")
    short = replace(ROSTER["base"], training=replace(ROSTER["base"].training, batch=8))
    _, curve = train(short, 10, TOKENIZER, tmp_path)
    assert len(curve) == 1
    assert "step 10/10, loss" in caplog.text
