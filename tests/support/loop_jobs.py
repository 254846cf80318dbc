"""The jobs of a study of the loop, derived from what the loop and its methods are and not from the plan.

Every job is named by what it makes, so what several runs share is one job: round 0 is the benchmark's for all of them.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Facts:
    """What a method needs, as it is described.

    Attributes:
        learns: It has a fit, of its own for every pool and batch.
        dev: What its fit reads of each member: replies to dev, replies with their scores, or nothing.
        reads: Its answers to a split rest on each member's reply to it.
        makes: Models that its fit makes for every task.
        asks: These reply like single models; else the method runs them itself while it answers.
    """

    learns: bool = False
    dev: str = ""
    reads: bool = False
    makes: tuple[str, ...] = ()
    asks: bool = False


DEBATERS = tuple(f"{role}{member}" for member in range(3) for role in ("generator", "critic"))
METHODS = {
    # The model that is best on dev answers.
    "control_best_single": Facts(learns=True, dev="scores", reads=True),
    "control_random": Facts(reads=True),
    "text_majority_vote": Facts(reads=True),
    # A router learns from dev which model is right; the chosen one's reply is the answer.
    "api_trained_router": Facts(learns=True, dev="scores", reads=True, makes=("router",)),
    "api_graph_routing": Facts(learns=True, dev="scores", reads=True),
    # Replies are the first round; who sums up, or fuses, is the best on dev.
    "text_multiagent_refine": Facts(learns=True, dev="scores", reads=True),
    "text_llm_blender": Facts(learns=True, dev="scores", reads=True),
    # Members are stepped together, token by token.
    "logit_logit_fusion": Facts(),
    # Models are merged, and the merge is asked; a greedy soup takes in members in the order of their dev scores.
    "weight_dare_ties": Facts(learns=True, makes=("merged",), asks=True),
    "weight_greedy_soup": Facts(learns=True, dev="scores", makes=("soup",), asks=True),
    # Every member becomes a generator and a critic by debates on dev, and these debate the questions.
    "text_multiagent_finetuning": Facts(learns=True, dev="replies", makes=DEBATERS),
    # A debate alone begins with the members' replies, and trains nobody.
    "debate": Facts(reads=True),
    # Members duel on dev and learn from it; the winner is asked.
    "text_sparta": Facts(learns=True, dev="replies", makes=("winner",), asks=True),
}


@dataclass(frozen=True)
class Entry:
    """Runs of the loop: every method on every task by every variant; methods and baselines by what the study calls them."""

    name: str
    pool: str
    members: Sequence[str]
    methods: Mapping[str, Facts]
    tasks: Sequence[str]
    variants: Sequence[str]
    rounds: int
    baselines: Mapping[str, Facts]


def count_jobs(
    study: Mapping[str, Any], models: Sequence[str], batch_of: Callable[[str], tuple[str, ...]]
) -> Counter[str]:
    """Return the number of jobs by kind of a study whose comparisons ask for nothing that its loop does not ask for.

    Args:
        study: Its configuration.
        models: Declared models that are used.
        batch_of: Gives the tasks that the benchmark asks together with a task.
    """
    jobs = LoopJobs(models, batch_of)

    def facts(names: Sequence[str]) -> dict[str, Facts]:
        return {name: METHODS.get(name) or METHODS[study["methods"][name]["method"]] for name in names}

    for name, entry in study["evolution"].items():
        methods, baselines = facts(entry["methods"]), facts(entry.get("baselines", ()))
        members, variants = study["pools"][entry["pool"]], entry.get("variants", ["supervised"])
        about = (entry["tasks"], variants, entry["rounds"], baselines)
        jobs.add(Entry(name, entry["pool"], members, methods, *about))
    return jobs.counts()


class LoopJobs:
    """Jobs by kind.

    Args:
        models: Declared models that are used.
        batch_of: Gives the tasks that the benchmark asks together with a task.
    """

    def __init__(self, models: Sequence[str], batch_of: Callable[[str], tuple[str, ...]]) -> None:
        self._batch_of = batch_of
        self._found: set[tuple[object, ...]] = {("resolve", model) for model in models}

    def counts(self) -> Counter[str]:
        """Return the number of jobs of every kind."""
        return Counter(str(job[0]) for job in self._found)

    def add(self, entry: Entry) -> None:
        """Add all jobs of an entry."""
        for task in entry.tasks:
            self._note("prepare", task)
            for method in entry.methods:
                for variant in entry.variants:
                    self._run(entry, method, task, variant)
            for name, facts in entry.baselines.items():  # asked on one task; the benchmark has no row of theirs
                self._answered(entry.pool, entry.members, (task,), name, facts, "test")
                self._note("score", entry.pool, (task,), name, "test")

    def _run(self, entry: Entry, method: str, task: str, variant: str) -> None:
        facts, run = entry.methods[method], (entry.name, method, task, variant)
        for number in range(entry.rounds + 1):
            if number == 0:
                pool, members, tasks = entry.pool, list(entry.members), self._batch_of(task)
            else:
                # Round t mixes what round t - 1 said, trains a student for every member, and a pool of these is asked
                # on the task of the run alone.
                pool, members, tasks = (run, number), [(run, number, member) for member in entry.members], (task,)
                self._note("mix", run, number)
                self._note("distill", run, number)
                for student in members:
                    self._note("resolve", student)
            # After every round the system and each of its models alone are scored on test.
            self._answered(pool, members, tasks, method, facts, "test")
            self._note("score", pool, tasks, method, "test")
            self._alone(members, tasks, "test", scored=True)
            if number == entry.rounds:  # nobody learns from the last pool
                continue
            if variant != "on_policy":  # there the students write, and logits teach: no answer is needed
                # The system says what is taught, and each pair has its score, by which it may be filtered.
                self._answered(pool, members, tasks, method, facts, "distill")
                self._note("score", pool, tasks, method, "distill")
            if variant == "multi_student":
                # Own replies are learnt too, with their scores; the best student is who scores best on dev.
                for split in ("distill", "dev"):
                    self._alone(members, tasks, split, scored=True)

    def _answered(
        self, pool: object, members: Sequence[object], tasks: tuple[str, ...], method: str, facts: Facts, split: str
    ) -> None:
        """Note a method's answers to a split, with all that they rest on."""
        self._note("answer", pool, tasks, method, split)
        if facts.reads:
            self._alone(members, tasks, split)
        if not facts.learns:
            return
        self._note("fit", pool, tasks, method)
        if facts.dev:
            self._alone(members, tasks, "dev", scored=facts.dev == "scores")
        for task in tasks:
            for name in facts.makes:
                made = (pool, task, method, name)
                self._note("merge", made)
                self._note("resolve", made)
                if facts.asks:
                    self._alone([made], (task,), split)

    def _alone(self, models: Sequence[object], tasks: tuple[str, ...], split: str, *, scored: bool = False) -> None:
        for model in models:
            self._note("generate", model, tasks, split)
            if scored:
                self._note("score", model, tasks, split)

    def _note(self, kind: str, *what: object) -> None:
        self._found.add((kind, *what))
