"""The cache with room holds what the cache of transformers holds."""

import random
from functools import partial

import numpy as np
import pytest
import torch
from transformers import DynamicCache, LlamaConfig, MistralConfig, MistralForCausalLM
from transformers.cache_utils import DynamicLayer

from moco.config.decoding import Decoding
from moco.decoding.cache import RoomyLayer, can_be_stacked, stacked
from moco.decoding.loop import Row, _close_ranks, decode_batch
from moco.decoding.stepper import Stepper

HEADS, SIZE = 2, 3


def states(rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(rows, HEADS, columns, SIZE), torch.randn(rows, HEADS, columns, SIZE + 1)


def assert_equal(layer, other) -> None:
    assert torch.equal(layer.keys, other.keys)
    assert torch.equal(layer.values, other.values)
    assert layer.get_seq_length() == other.get_seq_length()
    assert layer.get_mask_sizes(1) == other.get_mask_sizes(1)


@pytest.mark.parametrize("seed", range(5))
def test_it_grows_and_loses_rows_as_the_usual_one(seed):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    layer, usual = RoomyLayer(), DynamicLayer()
    rows = 9
    for step in range(150):
        new = states(rows, 5 if step == 0 else draw.choice([1, 1, 1, 7]))
        for found, expected in zip(layer.update(*new), usual.update(*new), strict=True):
            assert torch.equal(found, expected)
        if step % 20 == 10:
            kept = [
                [0, *range(rows - 1, 2, -1)],  # some in reverse
                draw.choices(range(rows), k=rows + 1),  # some more than once
                [*range(2), rows - 1, *range(3, rows - 1)],  # the last in the place of one that leaves
                list(range(1, rows)),
            ][draw.randrange(4)]
            rows = len(kept)
            for each in (layer, usual):
                each.batch_select_indices(torch.tensor(kept))
        assert_equal(layer, usual)


def test_a_step_moves_nothing_and_rows_that_leave_move_few():
    layer = RoomyLayer()
    layer.update(*states(4, 10))
    place = layer.keys.data_ptr()
    layer.update(*states(4, 1))
    layer.batch_select_indices(torch.tensor([0, 3, 2]))
    layer.update(*states(3, 1))
    assert layer.keys.data_ptr() == place


def test_batches_become_one_with_padding_on_the_left():
    config = LlamaConfig(hidden_size=12, num_attention_heads=2, num_hidden_layers=2, intermediate_size=8)
    pieces = [DynamicCache(config=config) for _ in range(2)]
    given = [[states(2, 6), states(2, 6)], [states(1, 4), states(1, 4)]]
    for cache, layers in zip(pieces, given, strict=True):
        for place, each in enumerate(layers):
            cache.update(*each, place)
    whole = stacked(pieces, config, 6)
    for place, layer in enumerate(whole.layers):
        for kind, found in enumerate((layer.keys, layer.values)):
            assert torch.equal(found[:2], given[0][place][kind])
            assert torch.equal(found[2:, :, 2:], given[1][place][kind])
            assert (found[2:, :, :2] == 0).all()


def test_only_caches_of_all_positions_are_stacked():
    sizes = {"hidden_size": 12, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 8}
    assert can_be_stacked(LlamaConfig(**sizes))
    assert not can_be_stacked(MistralConfig(**sizes, sliding_window=4))


@pytest.mark.parametrize("seed", range(20))
def test_rows_from_behind_take_the_places_of_those_that_leave(seed):
    leaving = np.random.default_rng(seed).random(12) < seed / 19
    order = _close_ranks(leaving)
    assert sorted(order) == np.flatnonzero(~leaving).tolist()
    assert all(source == place or (leaving[place] and source >= len(order)) for place, source in enumerate(order))


@pytest.mark.parametrize("window", [None, 8])
def test_replies_are_the_same_alone_whatever_the_cache(window):
    sizes = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2}
    config = MistralConfig(
        **sizes, intermediate_size=64, vocab_size=300, sliding_window=window, initializer_range=0.2, head_dim=32
    )
    torch.manual_seed(1)
    model = MistralForCausalLM(config).double().eval()
    draw = random.Random(3)
    prompts = sorted(([draw.randrange(300) for _ in range(draw.randrange(2, 30))] for _ in range(7)), key=len)
    prompts[3] = prompts[2]

    def replies(numbers) -> dict[str, list[int]]:
        rows = [
            Row(str(n), prompts[n], Decoding(max_new_tokens=3 + 5 * n % 24, temperature=1.0, top_p=1.0), n)
            for n in numbers
        ]
        start = partial(lambda read: [Stepper(model, torch.device("cpu"), read)], [row.prompt for row in rows])
        return {row.key: row.tokens for row in decode_batch(start, lambda logits: logits[0], rows, frozenset(), 3)}

    together = replies(range(7))
    assert [len(together[str(n)]) for n in range(7)] == [3 + 5 * n % 24 for n in range(7)]
    for n in range(7):
        assert replies([n])[str(n)] == together[str(n)]
