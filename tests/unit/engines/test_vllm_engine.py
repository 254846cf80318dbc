"""Real vLLM on a trained model of the zoo and adapters on it, against the embedded engine. One worker serves all."""

import math
import os
import random
import signal
import statistics
from pathlib import Path

import pytest
from support.fake_vllm import processes_of
from support.vllm import vllm_python

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.models import AdapterModel, LocalModel
from moco.engines.base import TextRequest, TokenRequest
from moco.engines.render import Renderer
from moco.engines.transformers import TransformersEngine
from moco.errors import WorkError
from moco.jobs.resident import ResidentEngines
from moco.models.resolve import resolve
from moco.zoo.build import build
from moco.zoo.skills import items

pytestmark = pytest.mark.slow

CLOSE = 1e-3
"""Two best tokens whose log-probabilities differ by less may change places."""

GREEDY = Decoding(max_new_tokens=16, temperature=0)
NAMES = ("base", "one", "two")


@pytest.fixture(scope="module")
def settings() -> EngineSettings:
    return EngineSettings(kind="vllm", dtype="float32", batch_rows=32, python=str(vllm_python()))


@pytest.fixture(scope="module")
def models(zoo_cache, settings, tmp_path_factory):
    folder, root = build("base", zoo_cache), tmp_path_factory.mktemp("root")
    adapters = tmp_path_factory.mktemp("adapters")
    made = {"base": resolve("base", LocalModel(kind="local", path=str(folder), context=512), settings, root)}
    for name, rank in (("one", 4), ("two", 12)):
        entry = AdapterModel(kind="adapter", base="base", path=str(_adapter(folder, adapters / name, rank)))
        made[name] = resolve(name, entry, settings, root, base=made["base"])
    return made


def _adapter(base: Path, folder: Path, rank: int) -> Path:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    targets = ["q_proj", "v_proj", "gate_proj", "down_proj"]
    with torch.random.fork_rng():
        torch.manual_seed(rank)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets, task_type="CAUSAL_LM")
        wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def resident(models, tmp_path_factory):
    made = ResidentEngines(tmp_path_factory.mktemp("resident"), models.values)
    yield made
    made.close()


@pytest.fixture(scope="module")
def vllm(resident, models, settings):
    return lambda name="base": resident.engine(models[name], settings)


@pytest.fixture(scope="module")
def embedded(models, tmp_path_factory):
    root, made = tmp_path_factory.mktemp("embedded"), {}

    def engine(name: str = "base", **changes) -> TransformersEngine:
        key = (name, *changes.items())
        if key not in made:
            made[key] = TransformersEngine(models[name], root, EngineSettings(dtype="float32", **changes))
        return made[key]

    return engine


@pytest.fixture(scope="module")
def prompts(models, tmp_path_factory):
    renderer = Renderer(models["base"], tmp_path_factory.mktemp("prompts"))
    asked = items(("add", "reverse", "capital"), "exact", "test", 60, seed=0)
    return [renderer.render(item.question, 16).tokens for item in asked]


def requests(prompts, decoding=GREEDY, seed=1000):
    return [
        TokenRequest(f"k{place:03d}", prompt, decoding, None if decoding.greedy else seed + place)
        for place, prompt in enumerate(prompts)
    ]


def run(engine, asked):
    found = {row.key: row for row in engine.generate(asked)}
    assert len(found) == len(asked)
    return [found[request.key] for request in asked]


def parting(one, other) -> int:
    """Return where two replies part."""
    return next(place for place, (a, b) in enumerate(zip(one.tokens, other.tokens, strict=False)) if a != b)


@pytest.mark.parametrize("name", NAMES)
def test_greedy_replies_are_those_of_the_embedded_engine_but_where_two_tokens_are_as_likely(
    vllm, embedded, prompts, name
):
    asked = requests(prompts)
    differ = []
    for mine, theirs in zip(run(vllm(name), asked), run(embedded(name), asked), strict=True):
        if (mine.tokens, mine.text, mine.finish) == (theirs.tokens, theirs.text, theirs.finish):
            assert mine.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
            assert mine.top_logprobs == pytest.approx(theirs.top_logprobs, abs=1e-4)
            assert mine.tail == pytest.approx(theirs.tail, abs=1e-4)
            assert (
                (mine.top_k, mine.prompt_tokens)
                == (theirs.top_k, theirs.prompt_tokens)
                == (20, len(_prompt(asked, mine)))
            )
            continue
        place = parting(mine, theirs)
        best, second = theirs.top_logprobs[20 * place : 20 * place + 2]
        differ.append((name, mine.key, place, best - second))
    print(f"greedy replies that differ: {differ or 'none'}")
    assert [entry for entry in differ if entry[-1] >= CLOSE] == []
    assert len(differ) < len(asked) / 10


def _prompt(asked, row):
    return next(request.prompt for request in asked if request.key == row.key)


def test_base_and_adapters_were_loaded_once_and_say_different_things(vllm, resident, prompts):
    texts = {name: [row.text for row in run(vllm(name), requests(prompts))] for name in NAMES}
    assert [load.model for load in resident.loaded] == ["base"]
    for one, other in (("base", "one"), ("base", "two"), ("one", "two")):
        assert sum(a != b for a, b in zip(texts[one], texts[other], strict=True)) > 10


def test_the_end_token_ends_a_reply_and_is_stored(vllm, embedded, prompts):
    rows = run(vllm(), requests(prompts))
    stopped = [row for row in rows if row.finish == "stop"]
    assert stopped
    assert vllm().stop_ids == embedded().stop_ids
    assert all(row.tokens[-1] in embedded().stop_ids for row in stopped)
    assert all(not set(row.tokens[:-1]) & embedded().stop_ids for row in rows)
    short = run(vllm(), requests(prompts, Decoding(max_new_tokens=1, temperature=0)))
    assert {(row.finish, len(row.tokens)) for row in short} <= {("length", 1), ("stop", 1)}
    assert all(row.seconds > 0 for row in short)


@pytest.mark.parametrize("name", ["base", "two"])
def test_a_seed_decides_a_reply_whatever_is_asked_beside_it(vllm, prompts, name):
    hot = Decoding(max_new_tokens=12, temperature=1.0, top_p=0.95)
    asked = requests(prompts, hot, seed=2**64 - 1000)
    together = {row.key: row.tokens for row in run(vllm(name), asked)}
    shuffled = random.Random(3).sample(asked, 20)
    assert {row.key: row.tokens for row in run(vllm(name), shuffled)} == {
        request.key: together[request.key] for request in shuffled
    }
    for request in asked[:5]:
        assert run(vllm(name), [request])[0].tokens == together[request.key]
    others = run(vllm(name), requests(prompts, hot, seed=7))
    assert sum(row.tokens != together[row.key] for row in others) > len(asked) / 3


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_new_tokens=1, temperature=2.0, top_p=1.0),
        Decoding(max_new_tokens=1, temperature=1.5, top_p=0.6),
        Decoding(max_new_tokens=1, temperature=2.0, top_p=1.0, top_k=3),
        Decoding(max_new_tokens=1, temperature=1.2, top_p=1.0, repetition_penalty=1.5),
    ],
    ids=["temperature", "top_p", "top_k", "penalty"],
)
def test_settings_mean_what_they_mean_in_the_embedded_engine(vllm, embedded, prompts, decoding):
    """Both draw from one distribution: how likely the drawn tokens are on average differs by chance alone."""
    asked = [TokenRequest(f"k{seed}", prompts[0], decoding, seed) for seed in range(400)]
    mine, theirs = (run(engine(), asked) for engine in (vllm, embedded))
    means, errors = zip(*(_mean([row.logprobs[0] for row in rows]) for rows in (mine, theirs)), strict=True)
    assert abs(means[0] - means[1]) < 4 * math.hypot(*errors)
    if decoding.top_k:
        assert {row.tokens[0] for row in mine} == {row.tokens[0] for row in theirs}
    if decoding.top_p < 1:
        assert min(row.logprobs[0] for row in mine) >= min(row.logprobs[0] for row in theirs) - 0.5


def _mean(values: list[float]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def test_penalised_greedy_replies_are_those_of_the_embedded_engine(vllm, embedded, prompts):
    asked = requests(prompts, Decoding(max_new_tokens=16, temperature=0, repetition_penalty=1.3))
    mine, theirs, plain = run(vllm(), asked), run(embedded(), asked), run(vllm(), requests(prompts))
    # Penalised gaps are in no file, so a few of these may be close calls.
    assert sum(a.tokens != b.tokens for a, b in zip(mine, theirs, strict=True)) <= 2
    assert sum(a.tokens != b.tokens for a, b in zip(mine, plain, strict=True)) > 10


@pytest.mark.parametrize("name", ["base", "two"])
def test_texts_have_the_log_probabilities_of_the_embedded_engine(vllm, embedded, prompts, models, name):
    draw, context = random.Random(5), models["base"].context
    texts = [
        TextRequest(f"t{place}", prompt, tuple(draw.randrange(4, 500) for _ in range(draw.randrange(5))))
        for place, prompt in enumerate(prompts[:30])
    ]
    whole = tuple(draw.randrange(4, 500) for _ in range(context - 3))
    texts.append(TextRequest("all of the context", whole, (5, 6, 7)))
    mine, theirs = ({row.key: row for row in engine(name).score_text(texts)} for engine in (vllm, embedded))
    for text in texts:
        one, other = mine[text.key], theirs[text.key]
        assert (one.tokens, one.text, one.finish) == (other.tokens, other.text, other.finish)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-3)


def test_what_a_killed_worker_leaves_is_one_line_and_no_process(vllm, prompts):
    """The last test of the worker."""
    engine = vllm()
    session = engine._worker.process._process.pid
    assert processes_of(session)
    replies = engine.generate(requests(prompts, Decoding(max_new_tokens=400, temperature=1.0)))
    os.kill(session, signal.SIGKILL)
    with pytest.raises(WorkError, match=r"models\.base: vllm stopped: its worker process was killed \(signal 9\)"):
        list(replies)
    engine._worker.close()
    assert processes_of(session) == []
