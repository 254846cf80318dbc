"""Shortening a prompt to what a model can read: the parts that may shrink give way, evenly, and no other part does."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from moco.prompts.prompt import Part, parts_of

MARK = " [cut]"
"""Ends every part that was shortened."""

Length = Callable[[str], int]
"""Gives the tokens of a whole prompt, with all that is put around it."""
Ends = Callable[[Sequence[str]], Sequence[Sequence[int]]]
"""Gives for each of several texts where its tokens end, in characters."""


@dataclass(frozen=True)
class Shortened:
    """A prompt after shortening.

    Attributes:
        text: What is left of it.
        left_out: Tokens of its parts that are not.
    """

    text: str
    left_out: int = 0


def shortened(prompt: str, room: int, length: Length, ends: Ends) -> Shortened:
    """Return a prompt that fits, or one with nothing but marks where its shrinking parts stood if that does not.

    All shrinking parts that are longer than a common limit are cut to that limit, mark included; shorter ones stay
    whole. What stays of a part is its beginning.

    Args:
        prompt: Too long a prompt.
        room: Tokens that it may have.
        length: As `Length`; asked a few times, however long the prompt.
        ends: As `Ends`; asked once.
    """
    parts = parts_of(prompt)
    places = [place for place, part in enumerate(parts) if part.shrinks and part.text.strip()]
    if not places:
        return Shortened(prompt)
    *token_ends, mark_ends = ends([*(parts[place].text for place in places), MARK])
    sizes, mark = [len(each) for each in token_ends], len(mark_ends)

    def cut(limit: int) -> Shortened:
        kept, left_out = list(parts), 0
        for place, size, at in zip(places, sizes, token_ends, strict=True):
            if size > limit:
                first = limit - mark
                beginning = parts[place].text[: at[first - 1]].rstrip() if first else ""
                kept[place] = Part(beginning + MARK if beginning else MARK.strip(), shrinks=True)
                left_out += size - first
        return Shortened("".join(part.text for part in kept), left_out)

    goal = sum(sizes) - (length(prompt) - room)
    while True:
        limit = max(_limit(sizes, goal), mark)
        found = cut(limit)
        over = length(found.text) - room
        if over <= 0 or limit == mark:
            return found
        # Tokens at the seams count otherwise than those of the parts alone.
        goal = sum(min(size, limit) for size in sizes) - over


def _limit(sizes: Sequence[int], goal: int) -> int:
    """Return the highest limit under which sizes, none counted above it, add up to `goal` at most."""
    below = 0
    for place, size in enumerate(sorted(sizes)):
        share = (goal - below) // (len(sizes) - place)
        if share < size:
            return share
        below += size
    return max(sizes)
