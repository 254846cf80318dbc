"""What the single-multi evolution loop is expected to reach on the zoo, and whether it does."""

from collections.abc import Iterator

from moco.analysis.evolution import Evolution
from moco.analysis.expectation import NO_WORSE, Expectation


def of_loop(found: Evolution) -> Iterator[Expectation]:
    """Yield for every course that its single models gain over all rounds, and that its system loses next to nothing."""
    for courses in found.groups.values():
        for course in courses:
            who = f"{course.method}, {course.variant}, in {course.entry} on {course.task}"
            if (gain := found.gain(course, "single", course.last)) is not None:
                yield Expectation(f"single models gain over the rounds: {who}", gain.interval(), 0.0, is_gain=True)
            if (gain := found.gain(course, "multi", course.last)) is not None:
                what = f"the system is not below that of round 0: {who}"
                yield Expectation(what, gain.interval(), NO_WORSE, is_gain=True)


def strategies_that_gain(found: Evolution) -> list[str]:
    """Return the methods whose single models gain over the rounds with the whole interval above zero in some course."""
    gains = ((course.method, found.gain(course, "single", course.last)) for course in found.courses)
    return sorted({method for method, gain in gains if gain is not None and gain.interval().low > 0})
