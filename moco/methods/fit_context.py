"""What a fit sees besides: references, scores, merging, training, and a work folder that survives failure."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from moco.config.decoding import Decoding
from moco.digest import canonical_json, digest
from moco.methods.asking import Context, Settings
from moco.methods.base import Member, Request
from moco.methods.resources import FitResources, Model
from moco.models.recipes import Recipe, Trained
from moco.scoring import Case, Verdict, score_cases
from moco.scoring.groups import group_sizes, group_verdicts
from moco.tasks.item import Question, Reference
from moco.training.examples import Example, Reward

T = TypeVar("T")


class FitContext(Context[FitResources]):
    """What `fit` gets in addition: references of dev and train, scores, merging, training, a work folder.

    Attributes:
        references_used: Splits whose references were read.
    """

    def __init__(
        self,
        pool: Sequence[Member],
        questions: Sequence[Question],
        resources: FitResources,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(pool, questions, resources, settings)
        self.references_used: set[str] = set()

    @property
    def workdir(self) -> Path | None:
        """Folder that survives failure.

        What is kept there without `remembered` must not spare a resumed fit any call, since calls are what it costs.
        """
        return self._settings.workdir

    def references(self, split: str = "dev") -> Mapping[str, Reference]:
        """Return the references of dev or train by item; the use is recorded."""
        found = self._resources.references(split)
        self.references_used.add(split)
        return found

    def score(self, replies: Sequence[tuple[str, str]]) -> list[float | None]:
        """Return the scores of replies in their order; None where the item is broken or its group incomplete.

        Where items are scored in groups, the first replies of all items are taken together, then the second ones.

        Args:
            replies: Uids with texts; an item may have several.
        """
        questions = {question.uid: question for question in self.questions}
        cases = [Case(questions[uid], self.references(questions[uid].split)[uid], text) for uid, text in replies]
        verdicts: dict[int, Verdict] = {}
        for kind in dict.fromkeys(case.question.type for case in cases):
            places = [place for place, case in enumerate(cases) if case.question.type == kind]
            scored = score_cases(
                self._resources.rules(kind), [cases[place] for place in places], self._resources.tools()
            )
            verdicts.update(zip(places, scored, strict=True))
        if self._settings.group_score:
            sizes = {
                split: group_sizes(self.references(split).values())
                for split in dict.fromkeys(case.question.split for case in cases)
            }
            for places in _by_occurrence([uid for uid, _ in replies]):
                grouped = group_verdicts([cases[at] for at in places], [verdicts[at] for at in places], sizes)
                verdicts.update(zip(places, grouped, strict=True))
        return [verdicts[place].score for place in range(len(cases))]

    def dev_scores(self, member: int) -> Mapping[str, float]:
        """Return the scores of a member's plain dev responses by item; broken items are left out."""
        found = self._resources.dev_scores(member)
        for sample, replies in found.replies.items():
            for uid, reply in replies.items():
                self._read_plain(uid, reply, member, sample)
        return found.scores

    def fingerprint(self, member: Model) -> str:
        """Return the fingerprint of a member's model, or of a helper's by its role."""
        return self._resources.fingerprint(member)

    def merge(self, recipe: Recipe) -> str:
        """Make a model and return the name under which it may be asked."""
        return self._resources.merge(recipe)

    def discard(self, name: str) -> None:
        """Delete a model made by `merge`."""
        self._resources.discard(name)

    def candidates(
        self,
        recipes: Sequence[Recipe | int],
        *,
        questions: Sequence[Question] | None = None,
        decoding: Decoding | None = None,
        purpose: str = "candidate",
    ) -> list[dict[str, float]]:
        """Return the scores of candidates by item, in their order; broken items are left out.

        All models are made, asked in one round and deleted again. An interrupted fit remembers them.

        Args:
            recipes: Recipes, or members of the pool; equal ones are asked once.
            questions: Items to score on; all when left out.
            decoding: How they answer; as the task says when left out.
            purpose: What the requests are for.
        """
        asked = self.questions if questions is None else tuple(questions)
        about = [canonical_json(one.as_json() if isinstance(one, Recipe) else one) for one in recipes]
        distinct = dict(zip(about, recipes, strict=True))
        name = digest(list(distinct), purpose, decoding and decoding.model_dump(), [item.uid for item in asked])

        def scores() -> list[dict[str, float]]:
            return self._candidates(list(distinct.values()), asked, decoding, purpose)

        found = dict(zip(distinct, self.remembered(f"candidates-{name[:32]}", scores), strict=True))
        return [found[one] for one in about]

    def _candidates(
        self, recipes: Sequence[Recipe | int], asked: Sequence[Question], decoding: Decoding | None, purpose: str
    ) -> list[dict[str, float]]:
        made: list[str] = []
        models: list[Model] = []
        try:
            for recipe in recipes:
                if isinstance(recipe, Recipe):
                    made.append(self.merge(recipe))
                models.append(made[-1] if isinstance(recipe, Recipe) else recipe)
            replies = self.generate(
                [
                    Request(model, item.uid, item.prompt, purpose, decoding=decoding)
                    for model in models
                    for item in asked
                ]
            )
        finally:
            for name in made:
                self.discard(name)
        uids = [item.uid for item in asked]
        texts = [reply.text for reply in replies]
        scores = iter(self.score(list(zip(uids * len(models), texts, strict=True))))
        return [{uid: score for uid in uids if (score := next(scores)) is not None} for _ in models]

    def remembered(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` returns; what an interrupted fit has worked out before is read from its work folder.

        The calls that the work made count again, so that an interruption changes neither result nor cost.

        Args:
            name: Of the work, different for any other of this fit; becomes a file's name.
            work: Asks models, scores replies, and returns JSON values with texts as keys.
        """
        if self.workdir is None:
            return work()
        from moco.records import read_json, write_json

        path = self.workdir / "remembered" / f"{name}.json"
        if not path.exists():
            calls, rounds = len(self.calls), self._calls.rounds
            value = work()
            made = {
                "value": value,
                "calls": self.calls[calls:],
                "rounds": self._calls.rounds - rounds,
                "references": sorted(self.references_used),
            }
            write_json(path, made)
            return value
        made = read_json(path)
        self._calls.again(made["calls"], made["rounds"])
        self.references_used.update(made["references"])
        return cast(T, made["value"])

    def corpus(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of an outside corpus."""
        return [dict(row) for row in self._resources.corpus(name)]

    def train(
        self,
        kind: str,
        parent: Model,
        examples: Sequence[Example | tuple[str, ...]],
        name: str,
        *,
        reward: Reward | None = None,
        **settings: Any,
    ) -> Trained:
        """Train a model; it may be asked under its name, and kept in the state.

        Args:
            kind: `sft`, `dpo` or `grpo`.
            parent: What is trained: a member, a helper, or a model that the fit made.
            examples: What it learns; for `grpo` prompts with their items' uids.
            name: Of what is made.
            reward: For `grpo`, of uids with replies; `score` when left out.
            settings: Fields of the kind's settings (`moco.config.training`).
        """
        given = [Example(*each) for each in examples]
        if kind == "grpo":
            if settings.get("max_new_tokens") is None:
                settings["max_new_tokens"] = self.decoding.max_new_tokens
            return self._resources.train(kind, parent, given, name, settings, reward or self.score)
        return self._resources.train(kind, parent, given, name, settings)


def _by_occurrence(uids: Sequence[str]) -> list[list[int]]:
    """Return the places of the first occurrences of all uids, then those of the second ones, and so on."""
    seen: dict[str, int] = {}
    places: dict[int, list[int]] = {}
    for place, uid in enumerate(uids):
        seen[uid] = seen.get(uid, -1) + 1
        places.setdefault(seen[uid], []).append(place)
    return list(places.values())
