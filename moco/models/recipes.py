"""Recipes: how a model is made from others."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moco.errors import RequestError

OPERATIONS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "linear": (frozenset(), frozenset()),
    "dare_ties": (frozenset({"base"}), frozenset({"density", "normalize", "lambda", "rescale", "seed"})),
    "lora": (frozenset({"base", "space"}), frozenset()),
}
"""Options of each merge operation: those that it needs, and further ones."""


@dataclass(frozen=True)
class Recipe:
    """How a model is made from others: an operation, its inputs by fingerprint, their weights, options.

    Tokenizer, template and configuration are those of the first input. Operations (`moco/merging`):

    * `linear`: the sum of the inputs, each times its weight; weights are used as they are, negative ones too.
    * `dare_ties`: `base`, `density`, `normalize`, `lambda`; below density 1 also `rescale` and `seed`.
    * `lora`: adapters on `base` combined into one adapter, in a `space` of `factors` or `delta`.

    Raises:
        RequestError: The operation or an option is none of these, or inputs and weights are not equally many.
    """

    operation: str
    inputs: tuple[str, ...]
    weights: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be made, before anything is loaded for it."""
        if self.operation not in OPERATIONS:
            known = ", ".join(sorted(OPERATIONS))
            raise RequestError(f"unknown merge operation {self.operation!r}", remedy=f"known: {known}")
        needed, further = OPERATIONS[self.operation]
        if wrong := sorted(self.options.keys() - needed - further):
            remedy = f"known: {', '.join(sorted(needed | further)) or 'none'}"
            raise RequestError(f"merge operation {self.operation!r} has no option {wrong[0]!r}", remedy=remedy)
        if missing := sorted(needed - self.options.keys()):
            raise RequestError(f"merge operation {self.operation!r} needs option {missing[0]!r}")
        if not self.inputs or len(self.inputs) != len(self.weights):
            raise RequestError(
                f"a recipe has {len(self.inputs)} inputs and {len(self.weights)} weights", remedy="give one per input"
            )

    @property
    def sources(self) -> tuple[str, ...]:
        """Fingerprints of all models it is made from: the inputs, then the base where `options` names one."""
        return (*self.inputs, str(self.options["base"])) if "base" in self.options else self.inputs

    @property
    def is_its_input(self) -> bool:
        """Whether what it makes is its only input: weight 1, of which nothing is dropped or scaled."""
        unchanged = self.options.get("density", 1.0) == 1.0 == self.options.get("lambda", 1.0)
        return len(self.inputs) == 1 and self.weights == (1.0,) and unchanged

    def as_json(self) -> dict[str, Any]:
        """Return the recipe as JSON values."""
        return {
            "operation": self.operation,
            "inputs": list(self.inputs),
            "weights": list(self.weights),
            "options": dict(self.options),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that `as_json` wrote."""
        return cls(data["operation"], tuple(data["inputs"]), tuple(data["weights"]), data["options"])


@dataclass(frozen=True)
class Trained:
    """Weights that were trained: an adapter, or a whole model.

    Attributes:
        folder: Holds them, as peft or transformers saves them.
        parent: Fingerprint of the model that they were trained from; of an adapter the model it rests on.
    """

    folder: Path
    parent: str
