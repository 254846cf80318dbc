"""Items that are made on the spot."""

from moco.config.tasks import SyntheticSource
from moco.errors import RequestError
from moco.tasks.sources.rows import SplitRows


def read(source: SyntheticSource, where: str = "") -> dict[str, SplitRows]:
    """Return the items of every split that has a positive number of them.

    Args:
        source: What is made.
        where: The task, as errors about its configuration name it.

    Raises:
        RequestError: A skill is unknown, or has fewer questions than are asked for.
    """
    from moco.zoo import skills

    made = {}
    for split, count in source.items.items():
        try:
            made[split] = skills.items(source.skills, source.form, split, count, source.seed) if count > 0 else []
        except RequestError as error:
            place = f"{where}.source.items.{split}" if where else error.where
            raise RequestError(error.what, where=place, remedy=error.remedy) from None
    return {split: SplitRows(items.__iter__) for split, items in made.items() if items}
