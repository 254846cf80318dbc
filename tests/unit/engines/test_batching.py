"""Batches cover every request once, keep their limits, and waste little."""

from hypothesis import given
from hypothesis import strategies as st

from moco.config.decoding import Decoding
from moco.engines.base import TokenRequest
from moco.engines.batching import batches


def request(key: int, prompt: int, reply: int) -> TokenRequest:
    return TokenRequest(f"{key:04d}", (1,) * prompt, Decoding(max_new_tokens=reply), None)


def width(item: TokenRequest) -> int:
    return len(item.prompt) + item.decoding.max_new_tokens


SIZES = st.lists(st.tuples(st.integers(1, 300), st.integers(1, 40)), max_size=60)


@given(sizes=SIZES, rows=st.integers(1, 9), tokens=st.integers(1, 2000))
def test_every_request_is_in_one_batch_and_limits_hold(sizes, rows, tokens):
    requests = [request(key, *size) for key, size in enumerate(sizes)]
    made = list(batches(requests, rows, tokens))
    assert sorted(item.key for batch in made for item in batch) == sorted(item.key for item in requests)
    for batch in made:
        assert 0 < len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(map(width, batch)) <= tokens


@given(sizes=SIZES, rows=st.integers(1, 9), tokens=st.integers(1, 2000))
def test_the_longest_come_first_and_order_of_requests_does_not_matter(sizes, rows, tokens):
    requests = [request(key, *size) for key, size in enumerate(sizes)]
    made = list(batches(requests, rows, tokens))
    widths = [width(item) for batch in made for item in batch]
    assert widths == sorted(widths, reverse=True)
    assert list(batches(requests[::-1], rows, tokens)) == made


@given(sizes=SIZES, rows=st.integers(1, 9))
def test_batches_are_full_where_only_rows_limit_them(sizes, rows):
    made = list(batches([request(key, *size) for key, size in enumerate(sizes)], rows, 10**9))
    assert all(len(batch) == rows for batch in made[:-1])


def test_padding_is_little_where_lengths_are_mixed():
    requests = [request(key, 10 + key * 37 % 400, 8) for key in range(400)]
    made = list(batches(requests, 16, 10**6))
    padded = sum(len(batch) * max(map(width, batch)) for batch in made)
    assert padded < 1.05 * sum(map(width, requests))
