"""Blackboard: members act on a shared board, one action at a time, until enough conclusions stand."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from moco.config.fields import identity
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    FitNeeds,
    Method,
    MethodParams,
    Needs,
    PoolInfo,
    Request,
    State,
    method,
)
from moco.methods.context import AnswerContext, FitContext
from moco.methods.shared.courses import Course, in_step
from moco.methods.shared.selection import best_on_dev
from moco.prompts import blocks
from moco.prompts.prompt import Prompt
from moco.tasks.item import Question

T = TypeVar("T")
FINALISE = "FINALISE"
ACTIONS = {
    "PROPOSE": "Propose a strategy: what is asked, which ideas apply, a plan in three to five steps, what may go wrong."
    " Do not solve the problem yet.",
    "EXECUTE": "Do the next step of the work, rigorously. You may go on with an entry of the board.",
    "CRITIQUE": "Criticise entries of the board: say which, by number, what is wrong with them and why, and how to do better.",
    FINALISE: "Write the full solution and the final answer after CONCLUSION:",
}
"""Instructions by action."""
GUIDELINES = (
    "PROPOSE early, when there is no plan. EXECUTE while the work is under way. CRITIQUE entries that look doubtful."
    " FINALISE when the board holds all that an answer needs."
)

_ACTION = re.compile(r"^[^\w\n]*action[^\w\n]+(\w+)[^\w\n]*$", re.IGNORECASE | re.MULTILINE)
_VOTE = re.compile(r"^[^\w\n]*vote[^\w\n]+(\d+)[^\w\n]*$", re.IGNORECASE | re.MULTILINE)
_CONCLUSION = re.compile(r"^[^\w\n]*conclusion[*_]*:[*_]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Entry:
    """What a participant put on the board.

    Attributes:
        iteration: When, from 1.
        participant: Who, by place in the pool.
        action: Of what kind.
        text: What it wrote.
    """

    iteration: int
    participant: int
    action: str
    text: str


def action_in(reply: str) -> str | None:
    """Return the action that the last line of the form `ACTION: NAME` names; None without one."""
    named = _ACTION.findall(reply)
    action = named[-1].upper().replace("FINALIZE", FINALISE) if named else None
    return action if action in ACTIONS else None


def vote_in(reply: str, conclusions: int) -> int | None:
    """Return the place of the conclusion that the last line of the form `VOTE: NUMBER` names; None without one."""
    named = _VOTE.findall(reply)
    place = int(named[-1]) - 1 if named else -1
    return place if 0 <= place < conclusions else None


def conclusion_in(text: str) -> str | None:
    """Return what follows the last mark of a conclusion; None where there is no mark or nothing after it."""
    marks = list(_CONCLUSION.finditer(text))
    return (text[marks[-1].end() :].strip() or None) if marks else None


def header(item: Question, board: Sequence[Entry]) -> Prompt:
    """Return what every prompt begins with: the setting, the problem, the board.

    Small models lose the problem among longer sentences, so what only some prompts need stands there.
    """
    entries: list[str] = [
        blocks.block(
            f"entry {number}, iteration {one.iteration}: {one.action} by participant {one.participant + 1}", one.text
        )
        for number, one in enumerate(board, 1)
    ]
    return blocks.compose(
        blocks.instruction("You work with others on a blackboard. Its entries have numbers."),
        blocks.question(item),
        *(entries or [blocks.instruction("The board is still empty.")]),
    )


def select_prompt(above: Prompt, participant: int, size: int) -> Prompt:
    """Return the prompt in which a participant of so many chooses an action."""
    return blocks.compose(
        above,
        blocks.instruction(
            f"You are participant {participant + 1} of {size}. Review the board and think step by step about what is needed"
            f" next. Refer to entries by their numbers. {GUIDELINES}"
        ),
        blocks.instruction(f"Choose one of {', '.join(ACTIONS)}. End with one line of the form\nACTION: NAME"),
    )


def execute_prompt(above: Prompt, item: Question, action: str, reasoning: str) -> Prompt:
    """Return the prompt in which a participant carries out its action; one without reasoning was told to."""
    return blocks.compose(
        above,
        blocks.block("why you chose", reasoning) if reasoning.strip() else "",
        blocks.instruction(ACTIONS[action]),
        blocks.answer_format(item.type) if action == FINALISE else "",
    )


def vote_prompt(above: Prompt, conclusions: Sequence[str]) -> Prompt:
    """Return the prompt in which a participant chooses one of several conclusions."""
    return blocks.compose(
        above,
        blocks.instruction("These conclusions were reached:"),
        *(blocks.block(f"conclusion {number}", text) for number, text in enumerate(conclusions, 1)),
        blocks.instruction("Think about which of them is right. End with one line of the form\nVOTE: NUMBER"),
    )


class BoardParams(MethodParams):
    """Settings of work on a board."""

    actors: int = identity("Participants that act in an iteration.", 1, ge=1)
    stops: int = identity("Participants whose conclusions must stand at once before the work ends.", 1, ge=1)
    max_iterations: int = identity("Iterations after which the member best on dev must conclude.", 10, ge=1)
    retries: int = identity("Further attempts after a reply in which no action or no vote can be read.", 3, ge=0)
    cooldown: int = identity("Iterations for which who has acted does not act again.", 0, ge=0)
    idle_threshold: int = identity(
        "Iterations without acting after which a participant acts before all others.", 6, ge=1
    )
    shared_best: bool = identity("Let the member best on dev speak for all participants.", False)


@method("text_bbmas", level="text", papers=("2507.01701",))
class Blackboard(Method):
    """Members work on one board: each time some of them choose an action, plan, work, criticise or conclude, and post it.

    The work ends when as many participants as needed have concluded and nobody has done anything else since; where
    their conclusions are several, all participants vote.

    Papers:
        2507.01701 Exploring Advanced LLM Multi-Agent Systems Based on Blackboard Architecture

    Cost:
        At most `actors * (retries + 2) * max_iterations + max(1, members * (retries + 1))` calls per item: a choice,
        asked again where none can be read, and an action of every actor in every iteration, then votes or a conclusion
        at the limit. No plain response but those whose dev scores choose who concludes there.

    Records:
        Per item the `board`, entry by entry with its `iteration`, `participant`, `action` and `text`; whether it came to
        a `stop` because participants agreed or at the limit; the number of `iterations`; whose conclusion is the answer
        (`participant`); replies in which nothing could be read (`unread`); and the `votes`. Of the
        fit the position of the `member` that concludes at the limit and all members' `dev_means`.

    Deviations:
        * Every participant speaks with a model of its own: in the original the member best on dev speaks for all, which
          `shared_best` restores.
        * Replies are drawn as the task says: the original always writes up to 8,192 tokens, at a temperature of 1.
        * The board holds what participants did, not why they chose it.
        * An action or a vote is the last line of its form, and who names none does nothing.
        * Conclusions of several iterations count together, as long as nobody has done anything else since.
        * At the limit the member best on dev concludes; the original has no answer there.
        * Who acted may have to pause (`cooldown`), and who has been idle for long acts first (`idle_threshold`).
    """

    class Params(BoardParams):
        """Settings of the blackboard."""

    def needs(self, pool: PoolInfo) -> Needs:
        """Dev scores choose who concludes at the limit; no plain response is read."""
        return Needs(
            fit=FitNeeds(dev_scores=True), answer=AnswerNeeds(generates=True), min_models=max(2, self.params.stops)
        )

    def fit(self, ctx: FitContext) -> State:
        """Choose who concludes at the limit."""
        return best_on_dev(ctx)

    def answer(self, ctx: AnswerContext, state: State) -> Iterator[Answer]:
        """Work on all boards at once, each at its own pace."""
        boards = {item.uid: Board(ctx, self.params, item, state.data["member"]).work() for item in ctx.questions}
        yield from in_step(ctx, boards).values()


class Board:
    """The work on one item.

    Args:
        ctx: Of the method.
        params: Its settings.
        item: The problem.
        best: The member best on dev.
    """

    def __init__(self, ctx: AnswerContext, params: BoardParams, item: Question, best: int) -> None:
        self._ctx, self._params, self._item, self._best = ctx, params, item, best
        self._participants = range(len(ctx.pool))
        self._entries: list[Entry] = []
        self._standing: dict[int, Entry] = {}
        self._acted: dict[int, int] = {}
        self._unread: list[dict[str, Any]] = []
        self._asked: Counter[tuple[int, str]] = Counter()

    def work(self) -> Course[Answer]:
        """Iterate until enough conclusions stand, or until the limit."""
        for iteration in range(1, self._params.max_iterations + 1):
            yield from self._iterate(iteration)
            if len(self._standing) >= self._params.stops:
                return (yield from self._conclude(list(self._standing.values())))
        last = self._params.max_iterations + 1
        [forced] = yield from self._act({self._best: (FINALISE, "")}, last)
        return self._answer(forced, "limit", ["no agreed conclusion at the limit of iterations"])

    def _iterate(self, iteration: int) -> Course[None]:
        actors = self._drawn(iteration)
        self._acted.update(dict.fromkeys(actors, iteration))
        above, size = self._above(), len(self._participants)
        prompts = {one: select_prompt(above, one, size) for one in actors}
        selected = yield from self._until_read(prompts, f"select {iteration}", action_in)
        if selected:
            posted = yield from self._act(selected, iteration)
            if any(entry.action != FINALISE for entry in posted):
                self._standing.clear()  # those of this iteration did not know of it
            concluded = [entry for entry in posted if entry.action == FINALISE and entry.text.strip()]
            self._standing.update({entry.participant: entry for entry in concluded})

    def _act(self, chosen: Mapping[int, tuple[str, str]], iteration: int) -> Course[list[Entry]]:
        """Let participants carry out actions, which they chose for reasons, and post what they write; silence is no entry."""
        above = self._above()
        requests = [
            self._request(one, execute_prompt(above, self._item, action, why), f"{action.lower()} {iteration}")
            for one, (action, why) in chosen.items()
        ]
        replies = yield requests
        posted = [
            Entry(iteration, one, action, reply.text)
            for (one, (action, _)), reply in zip(chosen.items(), replies, strict=True)
        ]
        self._entries += [entry for entry in posted if entry.text.strip()]
        return posted

    def _conclude(self, standing: Sequence[Entry]) -> Course[Answer]:
        if len(standing) == 1:
            return self._answer(standing[0], "agreed", [])
        texts = [conclusion_in(entry.text) or entry.text for entry in standing]
        prompts = dict.fromkeys(self._participants, vote_prompt(self._above(), texts))
        cast = yield from self._until_read(prompts, "vote", lambda reply: vote_in(reply, len(texts)))
        votes = {one: place for one, (place, _) in cast.items()}
        # The first that reached the most votes among equals.
        won = Counter(votes.values()).most_common(1)[0][0] if votes else 0
        return self._answer(standing[won], "agreed", [] if votes else ["no vote could be read"], votes)

    def _answer(
        self, entry: Entry, stop: str, fallbacks: Sequence[str], votes: Mapping[int, int] | None = None
    ) -> Answer:
        concluded = conclusion_in(entry.text)
        why = [*fallbacks, *([] if concluded is not None else ["the conclusion is not marked as one"])]
        return Answer(
            self._item.uid,
            entry.text if concluded is None else concluded,
            models=(self._ctx.pool[self._speaker(entry.participant)].model,),
            record={
                "board": [asdict(one) for one in self._entries],
                "stop": stop,
                "iterations": max(self._acted.values()),
                "participant": entry.participant,
                "unread": self._unread,
                "votes": {str(one): place for one, place in (votes or {}).items()},
            },
            fallback="; ".join(why) or None,
        )

    def _until_read(
        self, prompts: Mapping[int, Prompt], purpose: str, read: Callable[[str], T | None]
    ) -> Course[dict[int, tuple[T, str]]]:
        """Return what was read in the replies of participants, with the replies; who gives nothing to read is left out.

        A greedy reply stays the same, however often it is asked for.
        """
        found: dict[int, tuple[T, str]] = {}
        for _ in range(1 if self._ctx.decoding.greedy else 1 + self._params.retries):
            left = [one for one in prompts if one not in found]
            if not left:
                break
            replies = yield [self._request(one, prompts[one], purpose) for one in left]
            for one, reply in zip(left, replies, strict=True):
                value = read(reply.text)
                if value is not None:
                    found[one] = (value, reply.text)
                else:
                    self._unread.append({"participant": one, "purpose": purpose})
        return {one: found[one] for one in prompts if one in found}

    def _request(self, participant: int, prompt: Prompt, purpose: str) -> Request:
        """Return a request; the same prompt asked again gives another sample."""
        speaker = self._speaker(participant)
        sample = self._asked[speaker, prompt]
        self._asked[speaker, prompt] += 1
        return Request(speaker, self._item.uid, prompt, purpose, sample)

    def _speaker(self, participant: int) -> int:
        return self._best if self._params.shared_best else participant

    def _above(self) -> Prompt:
        return header(self._item, self._entries)

    def _drawn(self, iteration: int) -> list[int]:
        """Return who acts: first those who have been idle for too long, then others that need not pause, at random."""
        order = self._ctx.rng(f"actors of iteration {iteration}", self._item.uid).permutation(len(self._participants))
        idle = {one: iteration - 1 - self._acted.get(one, 0) for one in self._participants}
        late = [one for one in order.tolist() if idle[one] > self._params.idle_threshold]
        rested = [
            one
            for one in order.tolist()
            if one not in late and (one not in self._acted or idle[one] >= self._params.cooldown)
        ]
        return ([*late, *rested] or order.tolist())[: self._params.actors]
