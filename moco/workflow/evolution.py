"""The rules of the loop: what a round teaches, and the students that learn it.

Round `t` turns the pool of round `t - 1` into that of round `t`. All else that a round needs (answers, scores) is made
by the rules of methods, for which the pool of a round is a pool like any other.
"""

from typing import Any

from moco import paths
from moco.config.training import ON_POLICY
from moco.workflow.rounds import Run
from moco.workflow.stage import Stage, Wildcards, memory, results


class RoundStage(Stage):
    """What the rules of a round have in common."""

    depth = 4

    def run_of(self, wildcards: Wildcards) -> tuple[Run, int]:
        """Return the run and the number of the round, from 1."""
        return self.matrix.rounds.run(wildcards.run), int(wildcards.round)


class Mix(RoundStage):
    """What the students of a round learn from."""

    def questions(self, wildcards: Wildcards) -> list[str]:
        """Return the questions that are learnt from."""
        run, _ = self.run_of(wildcards)
        splits = [run.teaches_on] if self._teaches(run) else []
        splits += [run.own_split] if self._reads_own(run) else []
        return [results(paths.questions(run.task, split)) for split in dict.fromkeys(splits)]

    def answers(self, wildcards: Wildcards) -> list[str]:
        """Return the answers of the collaboration, in the round before, and the calls that they rest on."""
        run, _ = self.run_of(wildcards)
        return [results(path) for path in self._taught(wildcards).values()] if run.shares.get("teach") else []

    def own(self, wildcards: Wildcards) -> list[str]:
        """Return the students' own replies."""
        run, number = self.run_of(wildcards)
        return [results(path) for path, _ in self._own(run, number, run.own_split)] if self._reads_own(run) else []

    def scores(self, wildcards: Wildcards) -> list[str]:
        """Return the scores of what is taught, and those by which the best student is chosen."""
        run, number = self.run_of(wildcards)
        taught = [self._taught(wildcards)["answers"]] if run.shares.get("teach") else []
        own = [path for path, _ in self._own(run, number, run.own_split)] if self._reads_own(run) else []
        chosen = [path for path, _ in self._own(run, number, _chooses_on(run))] if run.shares.get("best") else []
        return [results(paths.scores(self.study.scorer, path)) for path in dict.fromkeys([*taught, *own, *chosen])]

    def references(self, wildcards: Wildcards) -> list[str]:
        """Return the references, where they are taught."""
        run, _ = self.run_of(wildcards)
        return [results(paths.references(run.task, run.teaches_on))] if run.shares.get("gold") else []

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return who learns what from whom, and the code that mixes."""
        run, number = self.run_of(wildcards)
        return {
            "task": run.task,
            "protocol": run.entry.protocol,
            "shares": run.shares,
            "filter": run.entry.filter,
            "dedupe": run.entry.dedupe,
            "held_out": run.entry.held_out,
            "scorer": self.study.scorer,
            "seed": [run.seed, run.task, number],
            "teaches_on": run.teaches_on,
            **(self._taught(wildcards) if run.shares.get("teach") else {}),
            "own_split": run.own_split,
            "own": self._own(run, number, run.own_split) if self._reads_own(run) else [],
            "chosen": self._own(run, number, _chooses_on(run)) if run.shares.get("best") else [],
            "parents": list(run.models(number - 1)),
            "students": list(run.models(number)),
            "source": self.matrix.source("moco.jobs.mix"),
        }

    def spent(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return what says what a round's teaching cost: files of costs, and model, file and sample of replies."""
        run, number = self.run_of(wildcards)
        where = (run.pool(number - 1), self.matrix.rounds.batch(run, number - 1).name, run.method, run.seed)
        read = {"answers": paths.costs(*where, run.teaches_on)} if run.shares.get("teach") else {}
        own = self._own(run, number, run.own_split) if self._reads_own(run) else []
        own += self._own(run, number, _chooses_on(run)) if run.shares.get("best") else []
        replies = dict.fromkeys((path.split("/")[1], path, sample) for path, sample in own)
        return {"read": read, "own": [list(each) for each in replies]}

    def _taught(self, wildcards: Wildcards) -> dict[str, str]:
        run, number = self.run_of(wildcards)
        batch = self.matrix.rounds.batch(run, number - 1).name
        where = (run.pool(number - 1), batch, run.method, run.seed, run.teaches_on)
        return {"answers": paths.answers(*where), "calls": paths.calls(*where)}

    def _own(self, run: Run, number: int, split: str) -> list[tuple[str, int]]:
        """Return the file and sample of every student's own replies to a split, in the round before."""
        batches = {model: batch.name for model, batch in self.matrix.rounds.singles(run, number - 1)}
        return [
            (paths.generation(model, batches[model], split, run.seed, paths.block_of(sample)), sample)
            for model, sample in self.member_samples(run.pool(number - 1), 1)
        ]

    def _teaches(self, run: Run) -> bool:
        return any(run.shares.get(source) for source in ("teach", "gold", "prompt"))

    def _reads_own(self, run: Run) -> bool:
        return any(run.shares.get(source) for source in ("self", "best"))


def _chooses_on(run: Run) -> str:
    """Return the split on which the best student is chosen."""
    return "test" if run.entry.protocol == "upstream" else "dev"


class Distill(RoundStage):
    """All students of a round."""

    def mixture(self, wildcards: Wildcards) -> str:
        """Return what they learn from."""
        return results(paths.mixture(wildcards.run, wildcards.round))

    def models(self, wildcards: Wildcards) -> list[str]:
        """Return the descriptions of the models that learn, and of those whose logits teach."""
        return self.model_files([*self.learning(wildcards), *self.living(wildcards)])

    def checkpoints(self, wildcards: Wildcards) -> list[str]:
        """Return the checkpoints that they start from, and those of models whose logits teach."""
        return self.weights(dict.fromkeys([*self.running(wildcards), *self.living(wildcards)]))

    def running(self, wildcards: Wildcards) -> list[str]:
        """Return the models that learn, one after another."""
        run, number = self.run_of(wildcards)
        return list(run.parents(number))

    def learning(self, wildcards: Wildcards) -> list[str]:
        """Return the same models: they are trained."""
        return self.running(wildcards)

    def living(self, wildcards: Wildcards) -> list[str]:
        """Return the models whose logits teach, in memory beside each student."""
        run, number = self.run_of(wildcards)
        return self.matrix.rounds.token_teacher(run, number)[0] if run.is_on_policy else []

    def mem(self, wildcards: Wildcards, attempt: int) -> str:
        """Return the memory of a job: a student that learns, beside those that teach it."""
        together = sum(map(self.nodes.gigabytes, set(self.living(wildcards))))
        return memory(together + max(map(self.trained_gigabytes, self.learning(wildcards))), attempt)

    def slice(self, wildcards: Wildcards) -> dict[str, Any]:
        """Return how students learn, and the code that trains them."""
        run, number = self.run_of(wildcards)
        return {
            "parents": list(run.parents(number)),
            "students": list(run.models(number)),
            "lineage": run.entry.lineage,
            "seed": run.seed,
            "kind": ON_POLICY if run.is_on_policy else "sft",
            "training": self._training(run),
            **self._teacher(run, number),
            "source": self.matrix.source("moco.jobs.distill"),
        }

    def _training(self, run: Run) -> dict[str, Any]:
        how = run.training.slice()
        if run.is_on_policy and how["max_new_tokens"] is None:
            preset = self.matrix.task(run.task).entry.decoding
            how["max_new_tokens"] = self.study.decoding[preset].max_new_tokens
        return how

    def _teacher(self, run: Run, number: int) -> dict[str, Any]:
        if not run.is_on_policy:
            return {}
        models, program = self.matrix.rounds.token_teacher(run, number)
        return {"teacher": {"models": models, "weights": list(program.weights)}}
