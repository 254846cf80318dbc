"""How a model is stepped is found out once for its configuration, and kept."""

import dataclasses
import shutil
import time

import pytest
import torch

from moco.config.engine import EngineSettings
from moco.decoding.row_by_row import cached_rows, uncached_rows
from moco.decoding.stepper import Stepper
from moco.engines import agreement
from moco.engines.transformers import TransformersEngine, load_model
from moco.records import read_json

DEVICE = torch.device("cpu")
PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13, 14], [5, 6, 7], [15]]


@pytest.fixture
def engine(tiny_checkpoint, resolved, tmp_path):
    def of(folder=None, **settings) -> TransformersEngine:
        folder = folder or tiny_checkpoint("base")
        info = dataclasses.replace(resolved(folder, dtype=settings.get("dtype", "float64")), location=str(folder))
        return TransformersEngine(info, tmp_path, EngineSettings(**settings))

    return of


@pytest.fixture
def checks(monkeypatch):
    """Names under which a check was made."""
    made = []
    plain = agreement._plain

    def counted(model, device, prompts, where):
        made.append(where)
        return plain(model, device, prompts, where)

    monkeypatch.setattr(agreement, "_plain", counted)
    return made


def test_models_of_one_configuration_share_the_check(engine, checks, tiny_checkpoint):
    engine()
    assert len(checks) == 1
    engine()
    engine(tiny_checkpoint("another", 1))
    assert len(checks) == 1


def test_another_type_attention_or_configuration_is_checked_for_itself(engine, checks, tiny_checkpoint, tmp_path):
    folder = shutil.copytree(tiny_checkpoint("base"), tmp_path / "other")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    assert (folder / "config.json").read_text() != text
    for number, (where, settings) in enumerate(
        [(None, {}), (None, {"dtype": "float32"}), (None, {"attention": "eager"}), (folder, {})], 1
    ):
        engine(where, **settings)
        assert len(checks) == number
    kept = [read_json(path) for path in (tmp_path / ".moco" / "checks").iterdir()]
    assert sorted(each["way"] for each in kept) == ["batched"] * 3 + ["cached rows"]


def test_the_check_takes_little_time(engine, monkeypatch):
    taken = []
    real = agreement.way_of_stepping

    def timed(*arguments):
        started = time.process_time()
        found = real(*arguments)
        taken.append(time.process_time() - started)
        return found

    monkeypatch.setattr("moco.engines.transformers.way_of_stepping", timed)
    engine()
    engine()
    assert taken[0] < 1
    assert taken[1] < 0.05


class _Forgetful(Stepper):
    """Reads every token as if nothing stood before it."""

    def feed(self, tokens, rows=None):
        if rows is not None:
            self.keep(rows)
        Stepper.__init__(self, self._model, self._device, [[token] for token in tokens.tolist()])


class _Mixed(Stepper):
    """Loses track of which row is which."""

    def _select(self, rows):
        super()._select(torch.zeros_like(rows))


class _Silent(Stepper):
    """Scores other tokens."""

    def score(self, continuations):
        return super().score([[*each[1:], each[0]] for each in continuations])


@pytest.mark.parametrize("wrong", [_Forgetful, _Mixed, _Silent])
def test_a_way_that_does_not_agree_is_not_taken(engine, monkeypatch, wrong):
    monkeypatch.setitem(agreement.WAYS, "batched", wrong)
    assert engine()._steps == "cached rows"


@pytest.fixture(scope="module")
def model(tiny_checkpoint, resolved):
    folder = tiny_checkpoint("base")
    return load_model(resolved(folder), folder.parent, EngineSettings(), DEVICE)


@pytest.mark.parametrize("rows", [cached_rows, uncached_rows])
def test_row_by_row_is_what_a_batch_is(model, rows):
    with torch.inference_mode():
        together, alone = Stepper(model, DEVICE, PROMPTS), rows(model, DEVICE, PROMPTS, "")

        def same():
            assert alone.logits.shape == together.logits.shape
            assert torch.allclose(alone.logits, together.logits, atol=1e-9)

        same()
        for tokens, kept in (([20, 21, 22, 23], None), ([24, 25, 26, 27, 28], [3, 1, 1, 0, 0]), ([29, 30], [2, 4])):
            for each in (together, alone):
                each.feed(torch.tensor(tokens), None if kept is None else torch.tensor(kept))
            same()
        for each in (together, alone):
            each.keep(torch.tensor([1, 1, 0]))
        same()
        texts = [[31, 32, 33], [], [34]]
        for one, other in zip(alone.score(texts), together.score(texts), strict=True):
            assert one == pytest.approx(other, abs=1e-9)
