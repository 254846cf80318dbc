"""A study: models, tasks, pools, methods, and which of them are compared."""

import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from moco.config.corpora import CorpusEntry
from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.evolution import EvolutionEntry
from moco.config.fields import MODEL_NAME, Section, identity, runtime
from moco.config.models import DAY, TEMPLATE_DATE, ModelEntry
from moco.config.rule_sets import RuleSet
from moco.config.scoring import Scoring
from moco.config.tasks import Slug, TaskEntry
from moco.digest import digest

ModelName = Annotated[str, Field(pattern=MODEL_NAME)]


class PoolEntry(Section):
    """An ordered list of models that collaborate; a name written n times means n copies."""

    models: tuple[ModelName, ...] = identity(
        "Models, in order; also those that a fit makes, as {pool}--{task}--{method}--s{seed}--{name}.", min_length=1
    )
    descriptions: tuple[str, ...] | None = identity("One sentence per model, instead of the models' own.", None)


class MethodVariant(Section):
    """A method with settings; the key in `methods` names the variant."""

    method: str | None = identity("Method id (`moco methods`); the variant's own name when left out.", None)
    params: dict[str, Any] = identity("Settings of the method.", factory=dict)


class Comparison(Section):
    """A block of the study: every method on every task with every pool of the block, where applicable."""

    pools: tuple[Slug, ...] | Literal["all"] = identity("Pools of the block.", "all")
    tasks: tuple[Slug, ...] | Literal["all"] = identity("Tasks of the block.", "all")
    methods: tuple[Slug, ...] | Literal["all"] = identity("Method variants of the block.", "all")
    singles: tuple[Slug, ...] | Literal["all"] = identity(
        "Models of these pools with a row of their own, for which they reply to all dev and test items.", "all"
    )


class Site(Section):
    """Facts of the machine or cluster."""

    gpu_model: str | None = runtime(
        "GPU model to ask the scheduler for, as `moco doctor` shows it on a cluster.", None, pattern=r"^[\w.]+$"
    )
    use_gpu: bool = runtime("Plan jobs that run models as GPU jobs.", False)


class Study(Section):
    """One study per YAML file."""

    study: Slug = identity("Name of the study.")
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = identity(
        "Run seeds; every result is made once per seed.", (1,), min_length=1
    )
    scorer: RuleSet = identity("Rule set that scores dev for fits and stands in the tables.", "strict")
    also_score: tuple[RuleSet, ...] = identity("Further rule sets that score the same answers.", ())
    scoring: Scoring = identity("How replies are scored, where that runs code or models.", factory=Scoring)
    decoding: dict[Slug, Decoding] = identity("Decoding presets by name.", factory=lambda: {"default": Decoding()})
    engine: EngineSettings = identity("Engine of every model that sets none.", factory=EngineSettings)
    template_date: str = identity(
        "Day (YYYY-MM-DD) that chat templates which write today's date into prompts take for today.",
        TEMPLATE_DATE,
        pattern=DAY,
    )
    models: dict[Slug, ModelEntry] = identity("Models by name.", min_length=1)
    tasks: dict[Slug, TaskEntry] = identity("Tasks by name.", min_length=1)
    pools: dict[Slug, PoolEntry] = identity("Pools by name; a list of models, or a mapping.", min_length=1)
    methods: dict[Slug, MethodVariant] = identity("Method variants by name.", factory=dict)
    corpora: dict[Slug, CorpusEntry] = identity("Outside texts by name, which fits of methods may read.", factory=dict)
    compare: tuple[Comparison, ...] = identity("What is compared with what.", factory=lambda: (Comparison(),))
    evolution: dict[Slug, EvolutionEntry] = identity("Runs of the single-multi evolution loop by name.", factory=dict)
    failures: Literal["stop", "record"] = runtime("Stop at failed work, or record it as failed rows.", "stop")
    retries: int = runtime("Attempts after the first, for jobs that run models.", 0, ge=0)
    min_coverage: float = identity("Tables refuse a result with a smaller share of answered items.", 1.0, ge=0, le=1)
    site: Site = runtime("Facts of the machine or cluster.", factory=Site)

    def engine_of(self, model: str) -> EngineSettings:
        """Return the engine settings of a declared model: its own, or those of the study."""
        return self.models[model].engine or self.engine

    def digest(self) -> str:
        """Return the digest of all settings that change results; those of runtime and numerics have no part in it."""
        content = self.slice()
        for model in content["models"].values():
            if "engine" in model:
                model["engine"] = model["engine"] or content["engine"]
        return digest("study", content)

    @field_validator("template_date", mode="before")
    @classmethod
    def _real_day(cls, value: Any) -> Any:
        """Accept the date that YAML makes of unquoted digits, and refuse a day that no calendar has."""
        text = value.isoformat() if type(value) is datetime.date else value
        if isinstance(text, str):
            datetime.date.fromisoformat(text)
        return text

    @field_validator("pools", mode="before")
    @classmethod
    def _pool_as_list(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: {"models": pool} if isinstance(pool, list) else pool for name, pool in value.items()}
        return value

    @field_validator("methods", mode="before")
    @classmethod
    def _flat_params(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        variants = {}
        for name, entry in value.items():
            entry = {} if entry is None else entry
            if not isinstance(entry, dict):
                variants[name] = entry
                continue
            variants[name] = {
                "method": entry.get("method"),
                "params": {k: v for k, v in entry.items() if k != "method"},
            }
        return variants
