"""Keys and seeds of requests: everything that can change a text, and nothing else.

The method, the pool, the batch and the names of models and tasks are in no key, so equal requests are shared.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moco.config.decoding import Decoding
from moco.digest import digest
from moco.seeds import derive_seed

KEY_VERSION = 1


def prompt_digest(token_ids: Sequence[int]) -> str:
    """Return the digest of a prompt's token ids."""
    return hashlib.sha256(np.asarray(token_ids, dtype="<i4").tobytes()).hexdigest()


def messages_digest(prompt: str) -> str:
    """Return the digest that stands for a prompt's token ids where only a server knows them: of its messages."""
    return digest("messages", [{"role": "user", "content": prompt}])


def request_seed(run_seed: int, fingerprint: str, prompt: str, sample: int) -> int:
    """Return the seed of a sampled request: H(run seed, model, prompt token ids, sample index).

    Args:
        run_seed: Seed of the run.
        fingerprint: Of the model.
        prompt: As `prompt_digest` or `messages_digest` gives it.
        sample: Sample index.
    """
    return derive_seed("request", run_seed, fingerprint, prompt, sample)


def request_key(
    fingerprint: str, prompt: str, decoding: Decoding, engine: Mapping[str, Any], run_seed: int, sample: int
) -> tuple[str, int | None]:
    """Return the store key (32 hexadecimal digits) and the seed of a request; greedy requests have no seed.

    Args:
        fingerprint: Of the model.
        prompt: As `prompt_digest` or `messages_digest` gives it.
        decoding: Decoding settings.
        engine: Identity of the engine, as `EngineSettings.key` gives it.
        run_seed: Seed of the run.
        sample: Sample index.
    """
    seed = None if decoding.greedy else request_seed(run_seed, fingerprint, prompt, sample)
    return digest("generation", KEY_VERSION, fingerprint, prompt, decoding.key(), dict(engine), seed)[:32], seed


def text_key(fingerprint: str, prompt: str, text: str, engine: Mapping[str, Any]) -> str:
    """Return the store key of a given text's log-probabilities; arguments as for `request_key`, `text` a digest too."""
    return digest("text", KEY_VERSION, fingerprint, prompt, text, dict(engine))[:32]


def measure_key(
    what: str, fingerprint: str, tokens: str, settings: Mapping[str, Any], engine: Mapping[str, Any]
) -> str:
    """Return the store key of a reward or of a vector.

    Args:
        what: `reward` or `embed`.
        fingerprint: Of the model.
        tokens: Digest of the token ids that it reads, as `prompt_digest` gives it.
        settings: What else decides the result: how vectors are pooled, and over how many positions.
        engine: Identity of the engine, as `EngineSettings.key` gives it.
    """
    return digest("measure", KEY_VERSION, what, fingerprint, tokens, dict(settings), dict(engine))[:32]


def joint_key(
    program: Any,
    members: Sequence[tuple[str, str, Mapping[str, Any]]],
    decoding: Decoding,
    run_seed: int,
    sample: int,
) -> tuple[str, int | None]:
    """Return the store key and the seed of a reply that several models decode jointly.

    Args:
        program: What tells how they write from other ways, as JSON values.
        members: Fingerprint, prompt digest and engine identity of each, in the order of the program.
        decoding: Decoding settings.
        run_seed: Seed of the run.
        sample: Sample index.
    """
    who = [[fingerprint, prompt] for fingerprint, prompt, _ in members]
    seed = None if decoding.greedy else derive_seed("joint", run_seed, program, who, sample)
    every = [[fingerprint, prompt, dict(engine)] for fingerprint, prompt, engine in members]
    return digest("joint", KEY_VERSION, program, every, decoding.key(), seed)[:32], seed
