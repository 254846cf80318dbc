"""Items that are made on the spot."""

from moco.config.tasks import SyntheticSource
from moco.tasks.sources.rows import SplitRows


def read(source: SyntheticSource) -> dict[str, SplitRows]:
    """Return the items of every split that has a positive number of them.

    Raises:
        RequestError: A skill is unknown.
    """
    from moco.zoo import skills

    made = {
        split: list(skills.items(source.skills, source.form, split, count, source.seed))
        for split, count in source.items.items()
        if count > 0
    }
    return {split: SplitRows(items.__iter__) for split, items in made.items()}
