"""Out of memory: batches get smaller and the work goes on, with the same results."""

import dataclasses
import random

import pytest
import torch
from support.checkpoints import judge_checkpoints

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.engines.base import MeasureRequest, TextRequest, TokenRequest
from moco.engines.measures import RewardModel
from moco.engines.memory import is_out_of_memory
from moco.engines.transformers import TransformersEngine
from moco.errors import WorkError

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: not enough memory: you tried to allocate"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


@pytest.fixture(scope="module")
def engine(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")
    return TransformersEngine(resolved(folder), folder.parent, EngineSettings(batch_rows=16))


class Memory:
    """A device on which only so many positions fit, whatever model runs."""

    def __init__(self, monkeypatch, model, positions: int, error: BaseException = ERRORS[0]) -> None:
        self.positions, self.rows, self.failures = positions, [], 0
        forward = model.forward

        def limited(*arguments, **named):
            rows, length = named["attention_mask"].shape
            if rows * length > self.positions:
                self.failures += 1
                raise error
            self.rows.append(rows)
            return forward(*arguments, **named)

        monkeypatch.setattr(model, "forward", limited)


def requests(count: int = 12) -> list[TokenRequest]:
    draw = random.Random(2)
    decoding = Decoding(max_new_tokens=10, temperature=1.0, top_p=0.9)
    return [
        TokenRequest(f"k{n:02d}", tuple(draw.randrange(4, 500) for _ in range(draw.randrange(5, 20))), decoding, n)
        for n in range(count)
    ]


def by_key(rows) -> dict:
    found = [dataclasses.replace(row, seconds=0.0) for row in rows]
    assert len({row.key for row in found}) == len(found), "a row was made twice"
    return {row.key: row for row in found}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_batches_get_smaller_and_the_replies_are_the_same(engine, monkeypatch, error, caplog):
    usual = by_key(engine.generate(requests()))
    memory = Memory(monkeypatch, engine.model, 100, error)
    assert by_key(engine.generate(requests())) == usual
    assert 0 < memory.failures <= 3
    assert max(memory.rows) > 1
    assert "goes on with smaller batches" in caplog.text


def test_running_out_while_replies_grow_keeps_those_that_are_finished(engine, monkeypatch):
    usual = by_key(engine.generate(requests()))
    width = max(len(request.prompt) for request in requests())
    # The prompts fit, and room runs out a few tokens later.
    memory = Memory(monkeypatch, engine.model, 12 * (width + 3))
    seen = []
    found = engine.generate(requests())
    for row in found:
        seen.append((row, memory.failures))
    assert by_key(row for row, _ in seen) == usual
    assert memory.failures > 0


def test_a_request_that_does_not_fit_alone_is_one_line_and_keeps_what_is_done(engine, monkeypatch):
    long = TokenRequest("long", (7,) * 90, Decoding(max_new_tokens=4, temperature=0), None)
    Memory(monkeypatch, engine.model, 60)
    with pytest.raises(WorkError, match=r"^tiny: out of memory with a single request of 94 tokens; .*more memory"):
        by_key(engine.generate([*requests(), long]))
    done = by_key(engine.generate(requests()))
    assert len(done) == 12


def test_other_errors_are_not_tried_again(engine, monkeypatch):
    memory = Memory(monkeypatch, engine.model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        by_key(engine.generate(requests()))
    assert memory.failures == 1


def test_texts_of_one_prompt_are_divided_too(engine, monkeypatch):
    texts = [TextRequest(f"t{place}", (5, 9, 30, 7), tuple(range(10 + place, 30 + 2 * place))) for place in range(9)]
    usual = by_key(engine.score_text(texts))
    memory = Memory(monkeypatch, engine.model, 130)
    assert by_key(engine.score_text(texts)) == usual
    assert memory.failures > 0
    Memory(monkeypatch, engine.model, 10)
    with pytest.raises(WorkError, match="single request"):
        by_key(engine.score_text(texts))


def test_rewards_go_on_in_smaller_batches(tmp_path, resolved, monkeypatch):
    folder = judge_checkpoints(tmp_path, 256)["reward"]
    model = RewardModel(resolved(folder, "judge"), folder.parent, EngineSettings(batch_rows=16))
    asked = [MeasureRequest(request.key, request.prompt) for request in requests()]
    usual = by_key(model.reward(asked))
    memory = Memory(monkeypatch, model._network, 60)
    assert by_key(model.reward(asked)) == usual
    assert memory.failures > 0


def test_other_messages_are_not_taken_for_it():
    assert all(map(is_out_of_memory, ERRORS))
    for error in (RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("memory")):
        assert not is_out_of_memory(error)
