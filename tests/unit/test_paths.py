"""Names of blocks of samples: every sample is in one, and no other name is taken for one."""

import pytest

from moco import paths
from moco.errors import RequestError


def test_blocks_cover_every_sample_once():
    names = list(dict.fromkeys(paths.block_of(sample) for sample in range(64)))
    assert names == ["s0", "s1-4", "s5-7", "s8-15", "s16-31", "s32-63"]
    assert [sample for name in names for sample in paths.block_samples(name)] == list(range(64))


@pytest.mark.parametrize(
    "name", ["", "s", "0", "s1", "s2-4", "s1-5", "s01-4", "s8", "s-1", "1-4", "ss0", "s\u0661", "x0", "s1-4-4"]
)
def test_other_names_are_wrong_requests(name):
    with pytest.raises(RequestError, match="is no block of samples; write s0, s1-4"):
        paths.block_samples(name)
