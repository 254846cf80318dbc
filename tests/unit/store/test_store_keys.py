"""A key holds everything that can change a text, and nothing else."""

import inspect

import pytest

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.seeds import derive_seed
from moco.store.keys import prompt_digest, request_key, request_seed

ENGINE = EngineSettings().key()
USUAL = {
    "fingerprint": "f" * 64,
    "prompt": prompt_digest([1, 2, 3]),
    "decoding": Decoding(),
    "engine": ENGINE,
    "run_seed": 1,
    "sample": 0,
}
OTHER = {
    "fingerprint": "e" * 64,
    "prompt": prompt_digest([1, 2, 4]),
    "engine": {**ENGINE, "dtype": "float32"},
    "run_seed": 2,
    "sample": 1,
}
DECODING = {"max_new_tokens": 9, "temperature": 0.8, "top_p": 0.8, "top_k": 5, "repetition_penalty": 1.1}


@pytest.mark.parametrize("name", OTHER)
def test_every_ingredient_changes_the_key(name):
    assert request_key(**{**USUAL, name: OTHER[name]})[0] != request_key(**USUAL)[0]


def test_every_decoding_setting_changes_the_key_of_a_sampled_request():
    assert set(DECODING) == set(Decoding.model_fields)
    keys = {request_key(**{**USUAL, "decoding": Decoding(**{name: value})})[0] for name, value in DECODING.items()}
    assert len(keys | {request_key(**USUAL)[0]}) == len(DECODING) + 1


def test_nothing_else_can_enter_a_key():
    assert list(inspect.signature(request_key).parameters) == list(USUAL)


@pytest.mark.parametrize("field", ["batch_rows", "batch_tokens", "resident_gb", "flush_seconds", "top_logprobs"])
def test_runtime_and_numerics_of_the_engine_are_in_no_key(field):
    engine = EngineSettings.model_validate({field: 5}).key()
    assert request_key(**{**USUAL, "engine": engine}) == request_key(**USUAL)


def test_a_key_is_a_name_of_32_digits_and_stays_what_it_was():
    key, seed = request_key("f" * 64, prompt_digest([1, 2, 3]), Decoding(), {"kind": "transformers"}, 1, 0)
    assert len(key) == 32
    assert int(key, 16) >= 0
    assert seed == request_seed(1, "f" * 64, prompt_digest([1, 2, 3]), 0)
    # A change of these is a change of KEY_VERSION, and every stored generation is made again.
    assert key == "cc54a3fabebb3b21f05d2fdc437bb744"
    assert seed == 6986026190424591199


def test_greedy_requests_share_one_key_whatever_cannot_matter():
    greedy = {**USUAL, "decoding": Decoding(temperature=0)}
    key, seed = request_key(**greedy)
    assert seed is None
    for name, value in (("run_seed", 7), ("sample", 3)):
        assert request_key(**{**greedy, name: value}) == (key, None)
    for name, value in (("top_p", 0.2), ("top_k", 3)):
        changed = Decoding(temperature=0, **{name: value})
        assert request_key(**{**greedy, "decoding": changed}) == (key, None)
    for name, value in (("max_new_tokens", 3), ("repetition_penalty", 2.0)):
        changed = Decoding(temperature=0, **{name: value})
        assert request_key(**{**greedy, "decoding": changed})[0] != key


def test_equal_numbers_are_equal_however_they_are_written():
    one, other = Decoding(temperature=1, top_p=1), Decoding(temperature=1.0, top_p=1.0)
    assert request_key(**{**USUAL, "decoding": one}) == request_key(**{**USUAL, "decoding": other})


def test_the_seed_of_a_request_depends_on_run_model_prompt_and_sample():
    usual = (1, "f", "p", 0)
    seeds = {request_seed(*usual)}
    for place, value in enumerate((2, "g", "q", 1)):
        seeds.add(request_seed(*(value if at == place else old for at, old in enumerate(usual))))
    assert len(seeds) == 5
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert request_seed(*usual) == derive_seed("request", *usual)


def test_the_digest_of_a_prompt_tells_token_sequences_apart():
    prompts = [[], [0], [0, 0], [1, 2], [2, 1], [12], [258], [1, 2, 0]]
    assert len({prompt_digest(prompt) for prompt in prompts}) == len(prompts)
    assert prompt_digest((1, 2)) == prompt_digest([1, 2])
