"""Distances between adapters, against their updates written out."""

from itertools import permutations

import pytest
import torch
from safetensors.torch import save_file

from moco.evolution.distance import mean_distances
from moco.records import write_json

LAYERS = ("q", "v")


def adapter(folder, factors, alpha=4.0):
    """Write an adapter of these factors by layer, and return what it adds by layer."""
    rank = next(iter(factors.values()))[0].shape[0]
    folder.mkdir()
    write_json(folder / "adapter_config.json", {"r": rank, "lora_alpha": alpha})
    names = {
        f"{name}.lora_{part}.weight": value
        for name, both in factors.items()
        for part, value in zip("AB", both, strict=True)
    }
    save_file(names, folder / "adapter_model.safetensors")
    return {name: alpha / rank * below @ above for name, (above, below) in factors.items()}


def drawn(seed, rank, width=6):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (torch.randn(rank, width, generator=generator), torch.randn(5, rank, generator=generator))
        for name in LAYERS
    }


def test_distances_are_those_of_the_updates(tmp_path):
    folders = [tmp_path / str(place) for place in range(3)]
    updates = [
        adapter(folder, drawn(seed, rank)) for folder, seed, rank in zip(folders, (1, 2, 3), (2, 2, 3), strict=True)
    ]
    whole = [torch.cat([each[name].flatten() for name in LAYERS]).double() for each in updates]
    wanted = dict.fromkeys(range(3), 0.0)
    for one, other in permutations(range(3), 2):
        u, v = whole[one], whole[other]
        wanted[one] += float((u - v).norm() / (u.norm() ** 2 + v.norm() ** 2).sqrt()) / 2
    assert mean_distances(folders) == pytest.approx(list(wanted.values()), abs=1e-5)


def test_equal_opposite_and_empty_updates(tmp_path):
    factors = drawn(1, 2)
    turned = {name: (above, -below) for name, (above, below) in factors.items()}
    none = {name: (above, torch.zeros_like(below)) for name, (above, below) in factors.items()}
    made = {"one": factors, "same": factors, "turned": turned, "none": none, "other": none}
    folders = {name: tmp_path / name for name in made}
    for name, content in made.items():
        adapter(folders[name], content)

    def of(*names):
        return mean_distances([folders[name] for name in names])

    assert of("one", "same") == [0.0, 0.0]
    assert of("one", "turned") == [pytest.approx(2**0.5, abs=1e-6)] * 2
    assert of("one", "none") == [1.0, 1.0]
    assert of("none", "other") == [0.0, 0.0]


def test_what_cannot_be_compared_has_no_distance(tmp_path):
    adapter(tmp_path / "one", drawn(1, 2))
    adapter(tmp_path / "wide", drawn(2, 2, width=7))
    (tmp_path / "whole").mkdir()
    assert mean_distances([tmp_path / "one"]) is None
    assert mean_distances([tmp_path / "one", tmp_path / "wide"]) is None
    assert mean_distances([tmp_path / "one", tmp_path / "whole"]) is None
