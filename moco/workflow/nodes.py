"""Models as nodes: what a plan knows of a model before it exists, declared or derived from what it is made of."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from moco.config.engine import EngineSettings
from moco.config.models import CAPABILITIES, AdapterModel, ModelEntry, ServerModel, TunedModel, ZooModel
from moco.config.study import Study
from moco.errors import RequestError
from moco.registry import did_you_mean
from moco.workflow.remembered import remembered

if TYPE_CHECKING:
    from moco.zoo.roster import ZooModel as RosterModel


_IN_WORDS = {
    "generate": "replies",
    "embed": "embeddings",
    "reward": "rewards",
    "top_logits": "log-probabilities",
}
"""Capabilities whose names are no words."""


def is_made(name: str) -> bool:
    """Return whether a model is one that the study makes, by a fit or in a round: user slugs contain no `--`."""
    return "--" in name


class Nodes:
    """Models of a study by name, declared ones and made ones (by fits and by rounds) alike.

    Args:
        study: The study.
        parts: Gives the models that a made one is made of; its size, family and engine follow from them.
        made_base: Gives the model that a made one rests on as an adapter; None for others.
    """

    def __init__(
        self, study: Study, parts: Callable[[str], Sequence[str]], made_base: Callable[[str], str | None]
    ) -> None:
        self._study, self._parts, self._made_base = study, parts, made_base

    def entry(self, name: str) -> ModelEntry:
        """Return the declaration of a model.

        Raises:
            RequestError: The study declares none of this name.
        """
        if name not in self._study.models:
            raise RequestError(f"unknown model {name!r}", remedy=did_you_mean(name, self._study.models))
        return self._study.models[name]

    @remembered
    def base(self, name: str) -> str | None:
        """Return the model that an adapter rests on."""
        if is_made(name):
            return self._made_base(name)
        entry = self.entry(name)
        if isinstance(entry, AdapterModel):
            return entry.base
        if isinstance(entry, TunedModel):
            base = self.tuned_from(name)
            return None if base is None or entry.training.rank is None else self.base(base) or base
        model = self.zoo_model(name)
        return self.zoo_parent(name) if model is not None and model.adapter is not None else None

    @remembered
    def tuned_from(self, name: str) -> str | None:
        """Return the model that the study tunes a model from; None for others, and for one that is tuned from itself."""
        entry = None if is_made(name) else self.entry(name)
        if not isinstance(entry, TunedModel):
            return None
        base, seen = entry.base, {name}
        while base not in seen and isinstance(other := self._study.models.get(base), TunedModel):
            seen.add(base)
            base = other.base
        return None if base in seen else entry.base

    def tuned_on(self, name: str) -> frozenset[str]:
        """Return the tasks that a model, or one that it comes from, was tuned on in this study."""
        if is_made(name):
            return frozenset().union(*map(self.tuned_on, self._parts(name)))
        entry, base = self.entry(name), self.tuned_from(name)
        return frozenset(entry.tasks) | self.tuned_on(base) if isinstance(entry, TunedModel) and base else frozenset()

    @remembered
    def zoo_model(self, name: str) -> "RosterModel | None":
        """Return the roster's entry of a zoo model."""
        from moco.zoo.roster import lookup

        entry = None if is_made(name) else self.entry(name)
        return lookup(entry.recipe or name) if isinstance(entry, ZooModel) else None

    def zoo_parent(self, name: str) -> str | None:
        """Return the study's model that a zoo model is trained from, where the study lists it."""
        entry, model = self.entry(name), self.zoo_model(name)
        if not isinstance(entry, ZooModel) or model is None or model.parent is None:
            return None
        for other, candidate in self._study.models.items():
            same = isinstance(candidate, ZooModel) and (candidate.recipe or other) == model.parent
            if not same or not isinstance(candidate, ZooModel):
                continue
            if (candidate.steps, candidate.seed) == (entry.steps, entry.seed):
                return other
        return None

    def kind(self, name: str) -> str:
        """Return what kind of model it is, in a word."""
        return "made" if is_made(name) else self.entry(name).kind

    @remembered
    def is_served(self, name: str) -> bool:
        """Return whether a model runs elsewhere, behind an endpoint."""
        return not is_made(name) and isinstance(self.entry(name), ServerModel)

    def is_priced(self, name: str) -> bool:
        """Return whether its replies are dear."""
        return not is_made(name) and self.entry(name).priced

    def capabilities(self, name: str) -> frozenset[str]:
        """Return what a model offers to methods."""
        return CAPABILITIES if is_made(name) else (self.zoo_model(name) or self.entry(name)).capabilities

    def lacks(self, name: str, wanted: frozenset[str]) -> str | None:
        """Return what a model does not offer of these capabilities, in a word; None where it offers all."""
        missing = sorted(wanted - self.capabilities(name))
        if not missing:
            return None
        if self.is_served(name) and not {"weights", "trainable"}.isdisjoint(missing):
            return "weights"
        return _IN_WORDS.get(missing[0], missing[0])

    @remembered
    def declared(self, name: str, aspect: str) -> str | None:
        """Return a model's declared architecture or tokenizer group; adapters have their base's."""
        if is_made(name):
            return self.declared(self._parts(name)[0], aspect)
        entry = self.entry(name)
        value = entry.family if aspect == "architecture" else entry.tokenizer
        below = entry.base if isinstance(entry, AdapterModel) else self.tuned_from(name)
        if value is None and below is not None:
            return self.declared(below, aspect)
        model = self.zoo_model(name)
        if value is None and model is not None:
            return model.family if aspect == "architecture" else model.tokenizer
        return value

    def description(self, name: str) -> str:
        """Return what a model is good at; a made one is like its first part."""
        return self.description(self._parts(name)[0]) if is_made(name) else self.entry(name).description

    @remembered
    def engine(self, name: str) -> EngineSettings:
        """Return the engine settings of a model: of a made one, those of its first part, of a tuned one its base's."""
        if is_made(name):
            return self.engine(self._parts(name)[0])
        base = self.tuned_from(name)
        return self._study.engine_of(name) if base is None else self.engine(base)

    @remembered
    def gpus(self, name: str) -> int:
        """Return the GPUs that a model needs where GPUs are used; a made one needs as many as its largest part."""
        return max(map(self.gpus, self._parts(name))) if is_made(name) else self.entry(name).gpus

    @remembered
    def parameters(self, name: str) -> float | None:
        """Return the declared number of parameters of a model; of an adapter its base's, of a made one its largest part's."""
        if is_made(name):
            return max((self.parameters(part) or 0 for part in self._parts(name)), default=0) or None
        entry, base = self.entry(name), self.tuned_from(name) or self.base(name)
        model = self.zoo_model(name)
        if entry.parameters is not None:
            return entry.parameters
        if base is not None:
            return self.parameters(base)
        return model.parameters if model is not None else None

    @remembered
    def gigabytes(self, name: str) -> float:
        """Return the memory that a model takes where it runs: its weights, and the cache that its engine sets aside."""
        if self.is_served(name):
            return 0.0
        engine = self.engine(name)
        cache = engine.cache_gb if engine.kind == "vllm" else 0.0
        return (self.parameters(name) or 0) * engine.bytes_per_number / 1e9 + cache
