"""The sampler against a reference that spells everything out, on small vocabularies."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from moco.config.decoding import Decoding
from moco.engines.sampling import Sampler, request_uniforms

CPU = torch.device("cpu")


def allowed_probabilities(logits: list[float], decoding: Decoding) -> list[tuple[int, float]]:
    """Return tokens that may be drawn with their probabilities, the most likely first, lower ids first on ties.

    Temperature, then top_k, then top_p of the mass that is left: the order of transformers and vLLM.
    """
    scaled = [value / decoding.temperature for value in logits]
    top = max(scaled)
    weights = [math.exp(value - top) for value in scaled]
    order = sorted(range(len(logits)), key=lambda token: (-scaled[token], token))[: decoding.top_k or None]
    total = sum(weights[token] for token in order)
    kept, before = [], 0.0
    for rank, token in enumerate(order):
        if rank and before >= decoding.top_p:
            break
        kept.append((token, weights[token] / total))
        before += weights[token] / total
    mass = sum(probability for _, probability in kept)
    return [(token, probability / mass) for token, probability in kept]


def reference(logits: list[float], decoding: Decoding, uniform: float) -> set[int]:
    """Return the tokens that may be drawn; two where the uniform number lies on a border up to rounding."""
    if decoding.greedy:
        return {logits.index(max(logits))}
    kept = allowed_probabilities(logits, decoding)
    found, reached = set(), 0.0
    for token, probability in kept:
        if reached - 1e-9 <= uniform <= reached + probability + 1e-9:
            found.add(token)
        reached += probability
    return found


VOCABULARY = 7
LOGITS = st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=VOCABULARY, max_size=VOCABULARY)
DECODINGS = st.builds(
    Decoding,
    temperature=st.sampled_from([0.0, 0.3, 0.7, 1.0, 2.5]),
    top_p=st.sampled_from([0.0101, 0.33, 0.6001, 0.9, 1.0]),
    top_k=st.integers(0, VOCABULARY + 2),
)
UNIFORMS = st.floats(0, 1, exclude_max=True, allow_subnormal=False)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.tuples(LOGITS, DECODINGS, UNIFORMS), min_size=1, max_size=5))
def test_every_row_follows_its_own_settings(rows):
    sampler = Sampler([decoding for _, decoding, _ in rows], CPU)
    logits = torch.tensor([row[0] for row in rows], dtype=torch.float64)
    drawn = sampler.draw(logits, torch.tensor([row[2] for row in rows], dtype=torch.float64)).tolist()
    for token, (values, decoding, uniform) in zip(drawn, rows, strict=True):
        near_border = (
            any(
                abs(
                    sum(p for _, p in allowed_probabilities(values, decoding.model_copy(update={"top_p": 1.0}))[:n])
                    - decoding.top_p
                )
                < 1e-9
                for n in range(VOCABULARY)
            )
            if not decoding.greedy
            else False
        )
        assert near_border or token in reference(values, decoding, uniform)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(LOGITS, DECODINGS, UNIFORMS), min_size=2, max_size=6), data=st.data())
def test_neighbours_and_order_do_not_matter(rows, data):
    order = data.draw(st.permutations(range(len(rows))))

    def draw(chosen):
        sampler = Sampler([row[1] for row in chosen], CPU)
        logits = torch.tensor([row[0] for row in chosen], dtype=torch.float64)
        return sampler.draw(logits, torch.tensor([row[2] for row in chosen], dtype=torch.float64)).tolist()

    together = draw(rows)
    assert [draw([row])[0] for row in rows] == together
    assert draw([rows[place] for place in order]) == [together[place] for place in order]


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("grain", [0.0, 0.25])
def test_large_vocabularies_with_and_without_ties(spread, grain):
    """More tokens than are looked at first: flat and narrow distributions, with many equal logits or none."""
    random = np.random.default_rng(4)
    logits = random.normal(0, spread, (24, 700))
    logits = np.round(logits / grain) * grain if grain else logits
    kinds = [
        Decoding(temperature=0.7, top_p=0.9),
        Decoding(temperature=1.3, top_p=1),
        Decoding(temperature=1, top_p=1, top_k=40),
        Decoding(temperature=1, top_p=0.83, top_k=40),
        Decoding(temperature=1, top_p=0.3, top_k=300),
        Decoding(temperature=0),
    ]
    decodings = [kinds[row % len(kinds)] for row in range(len(logits))]
    for uniforms in (random.random(len(logits)), np.full(len(logits), 0.9999)):
        drawn = Sampler(decodings, CPU).draw(torch.from_numpy(logits), torch.from_numpy(uniforms)).tolist()
        for token, values, decoding, uniform in zip(drawn, logits.tolist(), decodings, uniforms, strict=True):
            assert token in reference(values, decoding, uniform)


def test_only_rows_that_need_it_are_sorted_as_a_whole(monkeypatch):
    narrow, flat = [20.0 - place for place in range(700)], [place / 7000 for place in range(700)]
    sorted_rows = []
    sort = torch.sort
    monkeypatch.setattr(
        torch, "sort", lambda values, **named: sorted_rows.append(tuple(values.shape)) or sort(values, **named)
    )
    sampler = Sampler([Decoding(temperature=1, top_p=0.9)] * 3, CPU)
    sampler.draw(torch.tensor([narrow, flat, narrow], dtype=torch.float64), torch.full((3,), 0.5, dtype=torch.float64))
    assert [shape for shape in sorted_rows if shape[-1] == 700] == [(1, 700)]


SETTINGS = {
    "temperature": Decoding(temperature=0.7, top_p=1),
    "hot": Decoding(temperature=3, top_p=1),
    "top-p": Decoding(temperature=1, top_p=0.8),
    "top-k": Decoding(temperature=1, top_p=1, top_k=3),
    "both": Decoding(temperature=1.3, top_p=0.9, top_k=4),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_many_draws_have_the_right_distribution(name):
    decoding, count = SETTINGS[name], 20_000
    logits = [0.3, 2.0, -1.0, 1.2, 0.9, -0.5, 0.0, -3.0]
    uniforms = torch.from_numpy(np.random.default_rng(3).random(count))
    drawn = Sampler([decoding] * count, CPU).draw(torch.tensor([logits] * count, dtype=torch.float64), uniforms)
    seen = torch.bincount(drawn, minlength=len(logits)).tolist()
    expected = dict(allowed_probabilities(logits, decoding))
    assert {token for token, times in enumerate(seen) if times} <= set(expected)
    tokens = sorted(expected)
    assert chisquare([seen[t] for t in tokens], [expected[t] * count for t in tokens]).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_nucleus_always_holds_the_most_likely_token(dtype):
    decoding = Decoding(temperature=1, top_p=1e-60)
    logits = torch.tensor([[0.0, 5.0, 1.0]], dtype=dtype)
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert Sampler([decoding], CPU).draw(logits, torch.tensor([uniform], dtype=torch.float64)).item() == 1


def test_tokens_that_are_impossible_are_never_drawn():
    logits = torch.tensor([[0.0, -math.inf, 0.0, -math.inf]], dtype=torch.float64)
    decoding = Decoding(temperature=1, top_p=1)
    uniforms = [0.0, 0.25, 0.4999999, 0.5, 0.75, 1 - 2**-53]
    drawn = [Sampler([decoding], CPU).draw(logits, torch.tensor([u], dtype=torch.float64)).item() for u in uniforms]
    assert drawn == [0, 0, 0, 2, 2, 2]


@settings(max_examples=60, deadline=None)
@given(logits=LOGITS, penalty=st.sampled_from([0.5, 1.0, 1.3, 2.0]), seen=st.sets(st.integers(0, VOCABULARY - 1)))
def test_the_repetition_penalty_is_that_of_transformers(logits, penalty, seen):
    from transformers import RepetitionPenaltyLogitsProcessor

    scores = torch.tensor([logits], dtype=torch.float64)
    mask = torch.zeros(1, VOCABULARY, dtype=torch.bool)
    mask[0, sorted(seen)] = True
    ours = Sampler([Decoding(repetition_penalty=penalty)], CPU).penalise(scores, mask)
    prompt = torch.tensor([sorted(seen)], dtype=torch.long)
    theirs = RepetitionPenaltyLogitsProcessor(penalty)(prompt, scores.clone()) if seen else scores
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=0)


def test_penalties_of_rows_are_their_own():
    logits = torch.tensor([[2.0, -2.0]] * 2, dtype=torch.float64)
    sampler = Sampler([Decoding(repetition_penalty=2.0), Decoding()], CPU)
    assert sampler.penalise(logits, torch.ones(2, 2, dtype=torch.bool)).tolist() == [[1.0, -4.0], [2.0, -2.0]]
    sampler.keep(torch.tensor([1]))
    assert sampler.penalise(logits[:1], torch.ones(1, 2, dtype=torch.bool)).tolist() == [[2.0, -2.0]]


def test_random_numbers_of_a_request_depend_on_its_seed_only():
    assert request_uniforms(None, 3).tolist() == [0, 0, 0]
    one = request_uniforms(7, 10)
    assert one.tolist() == request_uniforms(7, 10).tolist()
    assert one[:4].tolist() == request_uniforms(7, 4).tolist()
    assert one.tolist() != request_uniforms(8, 10).tolist()
    assert len(set(request_uniforms(2**64 - 1, 50))) == 50
    assert ((one >= 0) & (one < 1)).all()


def test_top_p_is_of_what_top_k_leaves_as_in_transformers():
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits = torch.tensor(np.random.default_rng(7).normal(0, 1.5, (1, 60)))
    for temperature, top_k, top_p in [(1.0, 2, 0.5), (0.7, 5, 0.6), (1.3, 20, 0.9), (1.0, 59, 0.2), (1.0, 200, 0.5)]:
        warped = TemperatureLogitsWarper(temperature)(None, logits)
        wanted = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(min(top_k, 60))(None, warped)).softmax(-1)[0]
        draws = 4000
        sampler = Sampler([Decoding(temperature=temperature, top_k=top_k, top_p=top_p)] * draws, CPU)
        # Evenly spread uniform numbers: shares are then probabilities, up to one draw per token.
        uniforms = (torch.arange(draws, dtype=torch.float64) + 0.5) / draws
        shares = torch.bincount(sampler.draw(logits.expand(draws, -1), uniforms), minlength=60) / draws
        assert (shares - wanted).abs().max() <= 1.5 / draws


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 0.5, "top_p": 0.8},
        {"temperature": 2.0, "top_p": 1.0, "top_k": 3},
        {"temperature": 0},
    ],
)
def test_probabilities_are_those_by_which_tokens_are_drawn(settings):
    logits = torch.tensor([[0.5, 2.0, 1.0, -1.0, 1.0, 0.0]], dtype=torch.float64)
    count = 4000
    sampler = Sampler([Decoding(**settings)] * count, torch.device("cpu"))
    drawn = sampler.draw(logits.repeat(count, 1), torch.arange(count, dtype=torch.float64) / count)
    shares = torch.bincount(drawn, minlength=6) / count
    [chances] = Sampler([Decoding(**settings)], torch.device("cpu")).probabilities(logits)
    assert float(chances.sum()) == pytest.approx(1)
    assert chances.tolist() == pytest.approx(shares.tolist(), abs=2 / count)
