"""LLM-Blender: a ranker compares the members' answers in pairs, and a fuser writes one answer from the best of them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any, Literal

from pydantic import model_validator

from moco.config.fields import identity
from moco.config.training import SftRecipe
from moco.errors import RequestError
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Helper,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    Request,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.resources import Model
from moco.methods.shared.pairwise import NAMES, Verdict, by_points, compared, pair_prompt, points
from moco.methods.shared.selection import dev_means, dev_table, ranking
from moco.models.recipes import Recipe, Trained
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question, Reference
from moco.training.examples import Example

_GOLD_IS_A_REPLY = frozenset({"multiple_choice", "exact_match", "f1_match", "reward_model", "text_generation"})
"""Task types whose gold answer is what a good reply says."""


@method("text_llm_blender", level="text", papers=("2306.02561",))
class LlmBlender(Method):
    """A ranker compares all members' plain responses in pairs; a fuser reads the best ones and writes the answer.

    The ranker names the better of two answers, in both orders; whoever beats the most others is ranked first. Ranker and
    fuser may be tuned on dev: the ranker on pairs of which one scored better, the fuser on right answers after prompts
    whose candidates a ranker ordered that had not learnt from their item.

    `fuse: false` is the ranker alone.

    Papers:
        2306.02561 LLM-Blender: Ensembling Large Language Models with Pairwise Ranking and Generative Fusion

    Cost:
        At most `members * (members - 1) + fuse` calls per item: log-probabilities of both orders of every pair of
        unequal answers, and the fused answer. One plain response of every member; dev scores. Where ranker or fuser are
        tuned, the fit compares pairs and writes fused answers on dev.

    Records:
        Per item each member's `points`, the best as `ranked`, and the `verdicts`, each with its `pair`, the `margins` of
        both orders and the `winner`; how many verdicts were `inconsistent` between both orders. Of the fit all members'
        `dev_means`, the `fuser_member`, and for a tuned `ranker` and `fuser` the number of `examples`, whether it
        `learned`, and on `held_out` `items` or `pairs` the `score` or `accuracy` from `before` to `after`.

    Deviations:
        * The ranker's log-probabilities of both names are compared, so nothing is drawn or parsed, and what it says
          whatever it is shown cancels out.
        * The fuser is the member best on dev; `fuser_member: first` is the original's.
        * The fuser is not told the candidates' authors.
        * The fuser's training never sees scores in the order of candidates, which it will not have when it answers, and
          its targets have the form that the prompt asks for.
        * Items without a right answer or a better candidate teach nothing.
    """

    class Params(MethodParams):
        """Settings of LLM-Blender."""

        ranker: str = identity("Model of the study that compares answers.", "base")
        fuser: str | None = identity("Model of the study that writes the answer; a member when left out.", None)
        fuser_member: Literal["best", "first"] = identity(
            "Which member writes where no model is named: the best on dev, or the first.", "best"
        )
        fuse: bool = identity("Let the fuser write; otherwise the answer that is ranked first is the answer.", True)
        top_k: int = identity("Best answers that the fuser reads.", 3, ge=1)
        train_ranker: bool = identity("Tune the ranker on pairs of dev answers.", False)
        train_fuser: bool = identity("Tune the fuser on dev.", False)
        held_out: float = identity(
            "Share of dev that is not learnt, and on which what was tuned is compared with what it was.",
            0.2,
            ge=0,
            lt=1,
        )
        ranker_training: SftRecipe = identity("How the ranker learns.", factory=SftRecipe)
        fuser_training: SftRecipe = identity("How the fuser learns.", factory=SftRecipe)

        @model_validator(mode="after")
        def _a_fuser_that_learns_is_used(self) -> "LlmBlender.Params":
            if self.train_fuser and not self.fuse:
                raise RequestError("a fuser that writes nothing is trained", remedy="set train_fuser or fuse")
            return self

    def needs(self, pool: PoolInfo) -> Needs:
        """Plain responses and two models that are asked; dev data to choose the fuser or to tune."""
        params = self.params
        of_pool = params.fuse and params.fuser is None
        chooses, trains = of_pool and params.fuser_member == "best", params.train_ranker or params.train_fuser
        fit = FitNeeds(
            plain=int(trains),
            dev_scores=chooses or trains,
            references=params.train_fuser,
            generates=params.train_fuser or (params.train_ranker and params.held_out > 0),
            trains=trains,
        )
        ranks = frozenset({"logits", "trainable"}) if params.train_ranker else frozenset({"logits"})
        writes = frozenset({"generate", "trainable"}) if params.train_fuser else frozenset({"generate"})
        helpers = {"judge": Helper(params.ranker, ranks)}
        if params.fuse and params.fuser is not None:
            helpers["writer"] = Helper(params.fuser, writes)
        return Needs(
            fit=fit if chooses or trains else None,
            answer=AnswerNeeds(plain=1, generates=True),
            min_models=2,
            capabilities=writes - {"generate"} if of_pool else frozenset(),
            models=("ranker",) * params.train_ranker + ("fuser",) * params.train_fuser,
            helpers=helpers,
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose the fuser, and tune what shall be tuned."""
        params = self.params
        means = dev_means(ctx)
        place = ranking(means)[0] if params.fuser_member == "best" else 0
        data: dict[str, Any] = {"dev_means": means, "fuser_member": place}
        if not (params.train_ranker or params.train_fuser):
            return State(data)
        dev = _Dev(ctx, params.held_out)
        models: dict[str, Recipe | Trained] = {}
        if params.train_ranker:
            models["ranker"], data["ranker"] = self._tuned_ranker(ctx, dev)
        if params.train_fuser:
            writer: Model = place if params.fuser is None else "writer"
            models["fuser"], data["fuser"] = self._tuned_fuser(ctx, dev, writer, data.get("ranker"))
        return State(data, models=models)

    def _tuned_ranker(self, ctx: FitContext, dev: "_Dev") -> tuple[Recipe | Trained, dict[str, Any]]:
        """Return the ranker, and how often it and the model that it was name the better of two held-out answers."""
        examples = dev.pairs(dev.learnt)
        made = self._ranker(ctx, examples, "ranker")
        record: dict[str, Any] = {"examples": len(examples), "learned": made is not None}
        judges = {"before": "judge"} if made is None else {"before": "judge", "after": "ranker"}
        if dev.held_out:
            found = {
                when: accuracy(dev.verdicts(judge, dev.held_out), dev.rows(dev.held_out))
                for when, judge in judges.items()
            }
            record["held_out"] = {
                "pairs": found["before"][1],
                "accuracy": {when: each for when, (each, _) in found.items()},
            }
        return made or Recipe("linear", (ctx.fingerprint("judge"),), (1.0,)), record

    def _ranker(self, ctx: FitContext, examples: Sequence[Example], name: str) -> Trained | None:
        return ctx.train("sft", "judge", examples, name, **self.params.ranker_training.slice()) if examples else None

    def _tuned_fuser(
        self, ctx: FitContext, dev: "_Dev", writer: Model, ranker: Mapping[str, Any] | None
    ) -> tuple[Recipe | Trained, dict[str, Any]]:
        """Return the fuser, and what it and the model that it was score on held-out items."""
        halves, prompts = (dev.learnt[::2], dev.learnt[1::2]), dict[str, Prompt]()
        for number, (half, other) in enumerate((halves, halves[::-1])):
            judge = "judge"
            if ranker is not None and self._ranker(ctx, dev.pairs(other), f"ranker_of_half_{number}"):
                judge = f"ranker_of_half_{number}"
            prompts |= self._fusion_prompts(dev, judge, half)
        gold = ctx.references()
        examples = []
        for item in dev.learnt:
            reply = target(item, gold[item.uid], dev.texts[item.uid], dev.scores[item.uid])
            if reply is not None:
                examples.append(Example(prompts[item.uid], reply[0], uid=item.uid, source=reply[1]))
        made: Recipe | Trained = Recipe("linear", (ctx.fingerprint(writer),), (1.0,))
        if examples:
            made = ctx.train("sft", writer, examples, "fuser", **self.params.fuser_training.slice())
        record: dict[str, Any] = {"examples": len(examples), "learned": bool(examples)}
        if dev.held_out:
            shown = self._fusion_prompts(dev, "ranker" if ranker and ranker["learned"] else "judge", dev.held_out)
            writers: dict[str, Model] = {"before": writer, **({"after": "fuser"} if examples else {})}
            record["held_out"] = {
                "items": len(dev.held_out),
                "score": dict(zip(writers, _written(ctx, list(writers.values()), shown), strict=True)),
            }
        return made, record

    def _fusion_prompts(self, dev: "_Dev", judge: Model, items: Sequence[Question]) -> dict[str, Prompt]:
        return {
            item.uid: fusion_prompt(item, self._best(dev.texts[item.uid], of_item))
            for item, of_item in zip(items, dev.verdicts(judge, items), strict=True)
        }

    def _best(self, texts: Sequence[str], verdicts: Sequence[Verdict]) -> list[str]:
        """Return the texts that the fuser reads, best first."""
        return [texts[place] for place in by_points(points(verdicts, len(texts)))[: self.params.top_k]]

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Rank every item's answers, then fuse the best ones."""
        params = self.params
        ranker: Model = "ranker" if params.train_ranker else "judge"
        plain = [ctx.plain(member.index) for member in ctx.pool]
        texts = [[of_member[item.uid].text for of_member in plain] for item in ctx.questions]
        verdicts = compared(ctx, ranker, ctx.questions, texts)
        written = self._fused(ctx, state, texts, verdicts) if params.fuse else {}
        untrained = [name for name in ("ranker", "fuser") if not state.data.get(name, {}).get("learned", True)]
        for item, shown, of_item in zip(ctx.questions, texts, verdicts, strict=True):
            won = points(of_item, len(shown))
            ranked = by_points(won)
            text, author = written.get(item.uid, (shown[ranked[0]], ctx.pool[ranked[0]].model))
            yield Answer(
                item.uid,
                text,
                models=(author,),
                record={
                    "points": won,
                    "ranked": ranked[: params.top_k],
                    "verdicts": [verdict.as_json() for verdict in of_item],
                    "inconsistent": sum(not verdict.consistent for verdict in of_item),
                },
                fallback=f"no dev item to learn from: {', '.join(untrained)}" if untrained else None,
            )

    def _fused(
        self, ctx: AnswerContext, state: State, texts: Sequence[Sequence[str]], verdicts: Sequence[Sequence[Verdict]]
    ) -> dict[str, tuple[str, str]]:
        """Return what the fuser writes, and who that is, by item."""
        place: int = state.data.get("fuser_member", 0)
        fuser: Model = place
        author = ctx.pool[place].model
        if self.params.fuser is not None:
            fuser, author = "writer", self.params.fuser
        if self.params.train_fuser:
            fuser = author = "fuser"
        requests = [
            Request(fuser, item.uid, fusion_prompt(item, self._best(shown, of_item)), "fuse")
            for item, shown, of_item in zip(ctx.questions, texts, verdicts, strict=True)
        ]
        replies = ctx.generate(requests) if requests else []
        return {request.uid: (reply.text, author) for request, reply in zip(requests, replies, strict=True)}


class _Dev:
    """The dev items that every member has a score for, and what they said.

    Args:
        ctx: Of the fit.
        held_out: Share that is not learnt.

    Attributes:
        scores: By item, in pool order.
        texts: Plain responses, likewise.
        learnt: Items to learn from, in random order.
        held_out: The others.
    """

    def __init__(self, ctx: FitContext, held_out: float) -> None:
        self._ctx = ctx
        self.scores = dev_table(ctx)
        items = [item for item in ctx.questions if item.uid in self.scores]
        plain = [ctx.plain(member.index) for member in ctx.pool]
        self.texts = {item.uid: [of_member[item.uid].text for of_member in plain] for item in items}
        order = [items[place] for place in ctx.rng("held-out items", "dev").permutation(len(items)).tolist()]
        count = round(held_out * len(items))
        self.held_out, self.learnt = order[:count], order[count:]

    def rows(self, items: Sequence[Question]) -> list[list[float]]:
        """Return the scores of items."""
        return [self.scores[item.uid] for item in items]

    def verdicts(self, judge: Model, items: Sequence[Question]) -> list[list[Verdict]]:
        """Return what a judge says of all pairs of answers."""
        return compared(self._ctx, judge, items, [self.texts[item.uid] for item in items])

    def pairs(self, items: Sequence[Question]) -> list[Example]:
        """Return what a ranker learns: both orders of every pair of which one scored better."""
        names, examples = [member.model for member in self._ctx.pool], dict[tuple[str, str], Example]()
        for item in items:
            texts, row = self.texts[item.uid], self.scores[item.uid]
            for pair in combinations(range(len(row)), 2):
                better, worse = sorted(pair, key=lambda place: -row[place])
                if row[better] == row[worse] or texts[better] == texts[worse]:
                    continue
                source = f"{names[better]} over {names[worse]}"
                for name, shown in zip(NAMES, ((better, worse), (worse, better)), strict=True):
                    prompt = pair_prompt(item, *(texts[place] for place in shown))
                    # Equal answers of copies make equal examples.
                    examples.setdefault((prompt, name), Example(prompt, name, uid=item.uid, source=source))
        return list(examples.values())


def accuracy(verdicts: Sequence[Sequence[Verdict]], rows: Sequence[Sequence[float]]) -> tuple[float | None, int]:
    """Return how often the better of two texts is named, and of how many pairs one is better.

    A pair without a winner counts half.

    Args:
        verdicts: Of every item.
        rows: Scores of its texts.
    """
    marks = [
        0.5 if verdict.winner is None else float(row[verdict.winner] == max(row[verdict.first], row[verdict.second]))
        for of_item, row in zip(verdicts, rows, strict=True)
        for verdict in of_item
        if row[verdict.first] != row[verdict.second]
    ]
    return (fmean(marks) if marks else None), len(marks)


def fusion_prompt(item: Question, texts: Sequence[str]) -> Prompt:
    """Return the prompt in which the fuser reads candidates, best first, and writes the answer."""
    return blocks.compose(
        blocks.instruction("Several models answered a question. Write one answer that is better than each of theirs."),
        blocks.question(item),
        blocks.instruction("Their answers follow; a judge has ranked them from the best to the worst."),
        *(blocks.candidate(number, text) for number, text in enumerate(texts, 1)),
        blocks.instruction("Keep what is right, leave out what is wrong, and be accurate and brief."),
        blocks.answer_format(item.type),
    )


def target(item: Question, gold: Reference, texts: Sequence[str], row: Sequence[float]) -> tuple[str, str] | None:
    """Return what the fuser shall write, and what it is: the gold answer in the form of the task, or the best text.

    None where there is no gold answer, and either no text is better than another or no text says anything.
    """
    right = gold.text() if item.type in _GOLD_IS_A_REPLY else None
    if right is not None:
        return blocks.answered(item.type, right), "reference"
    best = max(range(len(row)), key=lambda place: (row[place], -place))
    if not texts[best].strip() or (row[best] <= 0 and row[best] == min(row)):
        return None
    return texts[best], "best candidate"


def _written(ctx: FitContext, writers: Sequence[Model], prompts: Mapping[str, Prompt]) -> list[float]:
    """Return the mean scores of what writers write."""
    requests = [Request(writer, uid, prompt, "fuse") for writer in writers for uid, prompt in prompts.items()]
    replies = ctx.generate(requests)
    scores = ctx.score([(request.uid, reply.text) for request, reply in zip(requests, replies, strict=True)])
    parts = [scores[start : start + len(prompts)] for start in range(0, len(scores), len(prompts))]
    return [fmean([score for score in part if score is not None] or [0.0]) for part in parts]
