"""The rules that make tasks and models: prepare, zoo, tune, merge, resolve."""

from pathlib import Path
from typing import Any

from moco import paths
from moco.config.expand import expand
from moco.config.models import AdapterModel, LocalModel, ServerModel, TunedModel, ZooModel
from moco.models.gguf import is_gguf
from moco.tasks.paths import source_files
from moco.workflow.nodes import is_made
from moco.workflow.stage import Stage, Wildcards, declared, results

MERGE_MODULE = "moco.merging.build"
"""The module whose code, with all that it imports, decides what a merge is."""


class Prepare(Stage):
    """Questions and references of a task."""

    depth = 3

    def source(self, wildcards: Wildcards) -> list[str]:
        """Return the files of a task's source."""
        return [str(path) for path in source_files(self.matrix.task(wildcards.task).entry).values()]

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the task as it is declared."""
        return dict(self.matrix.task(wildcards.task).entry.slice())


class Zoo(Stage):
    """A tiny model of the zoo."""

    depth = 2

    def parent(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoint of the model that it is trained from."""
        parent = self.nodes.zoo_parent(wildcards.model)
        return [results(paths.checkpoint(parent))] if parent in self.matrix.models else []

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what decides its weights."""
        from moco.zoo.roster import recipe

        entry = self.nodes.entry(wildcards.model)
        assert isinstance(entry, ZooModel)
        name = entry.recipe or wildcards.model
        return {
            "recipe": name,
            "steps": entry.steps,
            "seed": entry.seed,
            "made_of": recipe(name, entry.steps, entry.seed),
        }


class Tune(Stage):
    """A model that the study tunes itself."""

    depth = 2

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions that it learns."""
        return [results(paths.questions(task, "train")) for task in self._entry(wildcards).tasks]

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return the right answers to them."""
        return [results(paths.references(task, "train")) for task in self._entry(wildcards).tasks]

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the description of the model that it is tuned from."""
        return self.model_files(self.running(wildcards))

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the weights that it starts from."""
        return self.weights(self.running(wildcards))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the model that it is tuned from."""
        return [self._entry(wildcards).base]

    def learning(self, wildcards: Wildcards) -> list[str]:
        """Return the same model: it is trained."""
        return self.running(wildcards)

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what it learns and how, and the code that trains."""
        entry = self._entry(wildcards)
        learnt = {"base": entry.base, "tasks": list(entry.tasks), "items": entry.items, "seed": entry.seed}
        return {**learnt, "training": entry.training.slice(), "source": self.matrix.source("moco.jobs.tune")}

    def _entry(self, wildcards: Wildcards) -> TunedModel:
        entry = self.nodes.entry(wildcards.model)
        assert isinstance(entry, TunedModel)
        return entry


class Merge(Stage):
    """The checkpoint of a model that a fit made."""

    depth = 2

    def fit(self, wildcards: Wildcards) -> str:
        """Return the fit whose recipe it is."""
        made = self.matrix.made_model(wildcards.model)
        return results(paths.fit_folder(made.pool, made.batch, made.variant, made.seed))

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that it may be made of."""
        return self.model_files(self.matrix.ingredients(wildcards.model))

    def parts(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints of these models."""
        return self.weights(self.matrix.ingredients(wildcards.model))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models whose tensors are read, one after another."""
        return self.matrix.ingredients(wildcards.model)

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return the code that merges, and where the recipe is."""
        made = self.matrix.made_model(wildcards.model)
        return {
            "fit": [made.pool, made.batch, made.variant, made.seed],
            "task": made.task,
            "name": made.name,
            "among": self.matrix.ingredients(wildcards.model),
            "source": self.matrix.source(MERGE_MODULE),
        }


class Resolve(Stage):
    """The description of a model."""

    depth = 3

    def checkpoint(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoint below results of a model that the workflow makes."""
        name = wildcards.model
        made = is_made(name) or isinstance(self.nodes.entry(name), ZooModel | TunedModel)
        return self.weights([name])[-1:] if made else []

    def files(self, wildcards: Wildcards) -> list[str]:
        """Return the files of a model in a folder of the user."""
        entry = None if is_made(wildcards.model) else self.nodes.entry(wildcards.model)
        return _local_files(entry.path) if isinstance(entry, LocalModel | AdapterModel) else []

    def parents(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that it rests on or is made of."""
        if is_made(wildcards.model):
            return self.model_files(self.matrix.ingredients(wildcards.model))
        base = self.nodes.tuned_from(wildcards.model) or self.nodes.base(wildcards.model)
        return self.model_files([base] if base else [])

    def fit(self, wildcards: Wildcards) -> list[str]:
        """Return the fit that made it."""
        if not is_made(wildcards.model) or wildcards.model in self.matrix.rounds.students:
            return []
        made = self.matrix.made_model(wildcards.model)
        return [results(paths.fit_folder(made.pool, made.batch, made.variant, made.seed))]

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return a model's declaration and the identity of its engine."""
        name = wildcards.model
        if name in self.matrix.rounds.students:
            student = self.matrix.rounds.students[name]
            folder = f"{paths.students(student.run.name, student.round)}/{student.place}"
            return {"kind": "student", "parent": student.parent, "folder": folder}
        if is_made(name):
            made = self.matrix.made_model(name)
            fit = [made.pool, made.batch, made.variant, made.seed]
            among = self.matrix.ingredients(name)
            return {"kind": "merge", "fit": fit, "task": made.task, "name": made.name, "among": among}
        entry = self.nodes.entry(name)
        if isinstance(entry, TunedModel):
            return {"kind": "student", "parent": entry.base, "folder": paths.tuned(name)}
        facts = declared(entry.slice(), "description", "engine")
        if isinstance(entry, ServerModel):
            return {"entry": facts, "engine": {}}
        base = self.nodes.base(name)
        engine = self.nodes.engine(name).slice()
        spec = {"entry": facts, "engine": engine, "template_date": self.study.template_date}
        return {**spec, "base": base} if base else spec


def _local_files(path: str | None) -> list[str]:
    if path is None:
        return []
    folder = Path(expand(path))
    if is_gguf(folder):
        return [str(folder)]
    files = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".json", ".jinja"))
    return [str(file) for file in files] or [str(folder / "config.json")]
