"""Items that are made on the spot."""

from moco.config.tasks import SyntheticSource
from moco.tasks.raw import RawItem


def load(source: SyntheticSource) -> dict[str, list[RawItem]]:
    """Return the items of every split that has a positive number of them.

    Raises:
        RequestError: A skill is unknown.
    """
    from moco.zoo import skills

    return {
        split: list(skills.items(source.skills, source.form, split, count, source.seed))
        for split, count in source.items.items()
        if count > 0
    }
