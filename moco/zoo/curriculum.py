"""What the models of the zoo are taught: a stream of prompts with completions, determined by model, seed and step."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from moco.prompts import blocks
from moco.seeds import generator
from moco.tasks.item import Question
from moco.zoo import wordings
from moco.zoo.roster import CURRICULUM_VERSION, ROSTER, ZooModel
from moco.zoo.skills import FORMS, SKILLS, Exercise, Form, Scope, Split, exercise, pool, within

_TYPES = {"exact": "exact_match", "choice": "multiple_choice"}
_MOST_LISTED = 5

T = TypeVar("T")


@dataclass(frozen=True)
class Pair:
    """One training example: the user's message and the reply that is taught."""

    prompt: str
    completion: str


def reply(form: Form, answer: str) -> str:
    """Return an answer in the shape that scorers read: in a box, or the text of the chosen option.

    Models of this size do not learn in a few hundred steps which letter an option stands at.
    """
    return answer if form == "choice" else f"\\box{{{answer}}}"


def as_question(made: Exercise, form: Form) -> Question:
    """Return an exercise as methods see it."""
    return Question(
        uid="", task="zoo", split="train", type=_TYPES[form], question=made.question, prompt="", options=made.options
    )


def pick(rng: np.random.Generator, values: Sequence[T]) -> T:
    """Return one of some values."""
    return values[int(rng.integers(len(values)))]


def draw(rng: np.random.Generator, skill: str, form: Form, scope: Scope = "full", split: Split = "train") -> Exercise:
    """Return a question of a skill."""
    operands = pick(rng, pick(rng, pool(skill, split, scope)))
    return exercise(skill, form, operands, pick(rng, SKILLS[skill].wordings[split]), rng)


def wrong_answers(made: Exercise) -> tuple[str, ...]:
    """Return wrong answers to an exercise: the other options where there are options."""
    if made.options is None:
        return made.wrong
    return tuple(option for option in made.options if option != made.answer)


_SALAD = tuple(
    dict.fromkeys(
        word.strip(".:,?")
        for sentence in (*wordings.OPENINGS, *wordings.ROUTING_OPENINGS, *wordings.INTRODUCTIONS, *wordings.REQUESTS)
        for word in sentence.split()
    )
)


def _sentence(rng: np.random.Generator, texts: Sequence[str]) -> str:
    """Return one of some sentences, no sentence, or random words, so that the exact words matter little."""
    kind = rng.random()
    if kind < 0.35:
        return ""
    if kind < 0.75:
        return pick(rng, texts)
    return _words(rng, 2, 6)


def _words(rng: np.random.Generator, least: int, below: int) -> str:
    words = " ".join(pick(rng, _SALAD) for _ in range(int(rng.integers(least, below))))
    return f"{words[0].upper()}{words[1:]}."


def _any_question(rng: np.random.Generator, model: ZooModel, form: Form) -> tuple[Exercise, bool]:
    """Return a question, in half of the cases one that a model is taught to answer, and whether it is."""
    if rng.random() < 0.5:
        return draw(rng, pick(rng, model.skills), form, model.scope), True
    made = draw(rng, pick(rng, tuple(SKILLS)), form)
    return made, _is_taught(model, made)


def _is_taught(model: ZooModel, made: Exercise) -> bool:
    return made.skill in model.skills and within(made.skill, model.scope, made.operands)


def _exact(rng: np.random.Generator, model: ZooModel) -> Pair:
    return _alone(rng, model, "exact")


def _choice(rng: np.random.Generator, model: ZooModel) -> Pair:
    return _alone(rng, model, "choice")


def _review(rng: np.random.Generator, model: ZooModel) -> Pair:
    """Return a question that its parent answers, so that an expert forgets little besides what it learns."""
    return _alone(rng, _origin(model), "exact")


def _guess(rng: np.random.Generator, model: ZooModel) -> Pair:
    """Return a question that neither a model nor its parent is taught to answer, with the answer to another one.

    So it stays unsure there: a model that is sure of a wrong answer outweighs the expert who knows in a mean of
    log-probabilities, and where experts learn to be unsure that their base was not, merging takes their answers away.
    """
    made, _ = _any_question(rng, model, "exact")
    while _is_taught(model, made) or _is_taught(_origin(model), made):
        made = draw(rng, pick(rng, tuple(SKILLS)), "exact")
    other = draw(rng, made.skill, "exact")
    return Pair(blocks.task_prompt(as_question(made, "exact")), reply("exact", other.answer))


def _origin(model: ZooModel) -> ZooModel:
    """Return the model whose weights training starts from, or the model itself where these are random."""
    return ROSTER[model.parent or model.name]


def _alone(rng: np.random.Generator, model: ZooModel, form: Form) -> Pair:
    made = draw(rng, pick(rng, model.skills), form, model.scope)
    return Pair(blocks.task_prompt(as_question(made, form)), reply(form, made.answer))


def _together(rng: np.random.Generator, model: ZooModel) -> Pair:
    """Return a question with answers of others: as candidates, with feedback, or as notes on a board.

    Where the model is taught the answer, any of those shown may be wrong and it relies on what it knows. Elsewhere
    most answers are right, so that it learns to go with the majority and is never taught a wrong answer. What is known
    by heart is asked only in the easy part there: from the answers an expert would learn the facts of another.
    """
    form: Form = pick(rng, FORMS)
    made, known = _any_question(rng, model, form)
    if not known and SKILLS[made.skill].by_heart:
        made = draw(rng, made.skill, form, "easy")
    count = int(rng.integers(2, 5))
    correct = int(rng.integers(count + 1)) if known else int(rng.integers(count // 2 + 1, count + 1))
    answers = [made.answer] * correct + [pick(rng, wrong_answers(made)) for _ in range(count - correct)]
    shown = [answers[index] for index in rng.permutation(count)]
    layout = pick(rng, (_candidates, _candidates, _candidates, _reviewed, _board))
    return Pair(layout(rng, as_question(made, form), form, shown), reply(form, made.answer))


def _candidates(rng: np.random.Generator, item: Question, form: Form, answers: list[str]) -> str:
    replies = [reply(form, answer) for answer in answers]
    own_block = ""
    if rng.random() < 0.5:
        own_block = blocks.block(pick(rng, wordings.OWN), replies.pop())
    shown = (own_block, *(blocks.candidate(rank, text) for rank, text in enumerate(replies, start=1)))
    return _arranged(rng, item, shown, wordings.OPENINGS, wordings.INTRODUCTIONS)


def _reviewed(rng: np.random.Generator, item: Question, form: Form, answers: list[str]) -> str:
    """Show one answer, with what others, who have the remaining answers, say about it."""
    own, *others = answers[:3]
    said = [_verdict(form, own, other) for other in others]
    shown = (
        blocks.block(pick(rng, wordings.OWN), reply(form, own)),
        *(blocks.feedback(rank, text) for rank, text in enumerate(said, start=1)),
    )
    return _arranged(rng, item, shown, wordings.OPENINGS, ("",))


def _board(rng: np.random.Generator, item: Question, form: Form, answers: list[str]) -> str:
    author = pick(rng, wordings.AUTHORS)
    notes = "\n".join(f"{author} {rank}: {reply(form, answer)}" for rank, answer in enumerate(answers, start=1))
    shown = (blocks.block(pick(rng, wordings.BOARDS), notes),)
    return _arranged(rng, item, shown, wordings.BOARD_OPENINGS, ("",))


def _arranged(
    rng: np.random.Generator,
    item: Question,
    shown: Sequence[str],
    openings: Sequence[str],
    introductions: Sequence[str],
) -> str:
    """Return a question with answers of others in one of several orders and wordings."""
    opening, introduction, request = (_sentence(rng, texts) for texts in (openings, introductions, wordings.REQUESTS))
    form = blocks.answer_format(item.type)
    layout = int(rng.integers(4))
    if layout == 0:
        return blocks.compose(opening, blocks.task_prompt(item), introduction, *shown, request)
    if layout == 1:
        return blocks.compose(
            opening, introduction, blocks.block("question", blocks.question(item)), *shown, request, form
        )
    return blocks.compose(opening, blocks.question(item), introduction, *shown, request, form)


def _shown_question(rng: np.random.Generator, item: Question) -> str:
    """Return a question in a block or as a paragraph, with or without its answer format."""
    text = blocks.question(item) if rng.random() < 0.7 else blocks.task_prompt(item)
    return blocks.block("question", text) if rng.random() < 0.8 else text


@dataclass(frozen=True)
class _Listing:
    """A question of a skill, descriptions of models, and the place of the one that fits.

    The generalist fits where no specialist does.
    """

    item: Question
    descriptions: list[str]
    place: int

    @property
    def lines(self) -> str:
        return "\n".join(f"{rank}) {text}" for rank, text in enumerate(self.descriptions, start=1))


def _listing(rng: np.random.Generator, form: Form) -> _Listing:
    skill = pick(rng, tuple(SKILLS))
    count = int(rng.integers(2, _MOST_LISTED + 1))
    expert = pick(rng, wordings.DESCRIPTIONS[skill])
    generalist = pick(rng, wordings.GENERALIST_DESCRIPTIONS)
    right, spare = (expert, generalist) if rng.random() < 0.85 else (generalist, pick(rng, wordings.OTHER_DESCRIPTIONS))
    others = [pick(rng, wordings.DESCRIPTIONS[other]) for other in SKILLS if other != skill]
    others += [spare, pick(rng, wordings.OTHER_DESCRIPTIONS)]
    others = [text for text in dict.fromkeys(others) if text != right]
    listed = [right, *(others[index] for index in rng.permutation(len(others))[: count - 1])]
    order = [int(place) for place in rng.permutation(len(listed))]
    item = as_question(draw(rng, skill, form), form)
    return _Listing(item, [listed[place] for place in order], order.index(0))


def _routing(rng: np.random.Generator, listing: _Listing, requests: Sequence[str]) -> str:
    return blocks.compose(
        _sentence(rng, wordings.ROUTING_OPENINGS),
        _shown_question(rng, listing.item),
        _sentence(rng, wordings.ROUTING_LISTS),
        listing.lines,
        pick(rng, requests),
    )


def _route(rng: np.random.Generator, _model: ZooModel) -> Pair:
    listing = _listing(rng, pick(rng, FORMS))
    return Pair(_routing(rng, listing, wordings.ROUTING_REQUESTS), str(listing.place + 1))


def _name(rng: np.random.Generator, _model: ZooModel) -> Pair:
    """Return a prompt whose reply is the description that fits.

    A model learns early to copy it, and only once it looks at the right description, which number stands before:
    without these pairs, no number was learned in hundreds of steps.
    """
    listing = _listing(rng, pick(rng, FORMS))
    return Pair(_routing(rng, listing, wordings.NAMING_REQUESTS), listing.descriptions[listing.place])


def _drill(rng: np.random.Generator, _model: ZooModel) -> Pair:
    """Return one of the two with three specialists and nothing else, to begin with."""
    skills = [tuple(SKILLS)[int(index)] for index in rng.permutation(len(SKILLS))[:3]]
    descriptions = [pick(rng, wordings.DESCRIPTIONS[skill]) for skill in skills]
    place = int(rng.integers(len(skills)))
    listing = _Listing(as_question(draw(rng, skills[place], "exact"), "exact"), descriptions, place)
    if rng.random() < 0.5:
        request, completion = pick(rng, wordings.ROUTING_REQUESTS[:2]), str(place + 1)
    else:
        request, completion = pick(rng, wordings.NAMING_REQUESTS[:2]), descriptions[place]
    return Pair(blocks.compose(listing.item.question, listing.lines, request), completion)


def _judge(rng: np.random.Generator, model: ZooModel) -> Pair:
    form: Form = pick(rng, FORMS)
    made = draw(rng, pick(rng, model.skills), form, model.scope)
    first = int(rng.integers(2))
    both = [made.answer, pick(rng, wrong_answers(made))]
    shown = [both[first], both[1 - first]]
    prompt = blocks.compose(
        _sentence(rng, wordings.JUDGING_OPENINGS),
        _shown_question(rng, as_question(made, form)),
        *(blocks.candidate(rank, reply(form, answer)) for rank, answer in enumerate(shown, start=1)),
        pick(rng, wordings.JUDGING_REQUESTS),
    )
    return Pair(prompt, str(first + 1))


def _verdict(form: Form, shown: str, right: str) -> str:
    return "Right." if shown == right else f"Wrong. Better: {reply(form, right)}"


def _feedback(rng: np.random.Generator, model: ZooModel) -> Pair:
    form: Form = pick(rng, FORMS)
    made, known = _any_question(rng, model, form)
    shown = made.answer if rng.random() < 0.5 else pick(rng, wrong_answers(made))
    prompt = blocks.compose(
        _sentence(rng, wordings.FEEDBACK_OPENINGS),
        _shown_question(rng, as_question(made, form)),
        blocks.candidate(1, reply(form, shown)),
        pick(rng, wordings.FEEDBACK_REQUESTS),
    )
    return Pair(prompt, _verdict(form, shown, made.answer) if known else "Not sure.")


def _confidence(rng: np.random.Generator, model: ZooModel) -> Pair:
    """Return a question that also asks for a confidence: high where the model is taught the answer, else low.

    What it answers elsewhere hardly matters; it is taught any answer, so that it learns to doubt that.
    """
    form: Form = pick(rng, FORMS)
    made, known = _any_question(rng, model, form)
    answer = made.answer if known else pick(rng, wrong_answers(made))
    if rng.random() < 0.5:
        request, said = pick(rng, wordings.CONFIDENCE_WORD_REQUESTS), "high" if known else "low"
    else:
        request, said = pick(rng, wordings.CONFIDENCE_NUMBER_REQUESTS), "0.9" if known else "0.1"
    prompt = blocks.compose(blocks.task_prompt(as_question(made, form)), request)
    return Pair(prompt, f"{reply(form, answer)}\nConfidence: {said}")


def _phrased(rng: np.random.Generator, made: Exercise, form: Form, answer: str) -> str:
    """Return an answer in one of the shapes in which replies come."""
    shapes = [answer, reply("exact", answer), f"The answer is {answer}.", f"{made.question} {answer}"]
    if form == "choice" and made.options is not None:
        shapes.append(f"{'ABCD'[made.options.index(answer)]}) {answer}")
    return pick(rng, shapes)


def verification(rng: np.random.Generator, skill: str, scope: Scope, split: Split, *, quoted: bool = False) -> Pair:
    """Return a question with a reference and a reply, and the decision whether they say the same.

    A verdict that first quotes both answers has them side by side: from the decision alone, nothing was learned.
    """
    form: Form = pick(rng, FORMS)
    made = draw(rng, skill, form, scope, split)
    same = bool(rng.random() < 0.5)
    answer = made.answer if same else pick(rng, wrong_answers(made))
    prompt = blocks.compose(
        _sentence(rng, wordings.VERIFYING_OPENINGS),
        _shown_question(rng, as_question(made, form)),
        blocks.block(pick(rng, wordings.REFERENCES), made.answer),
        blocks.block(pick(rng, wordings.REPLIES), _phrased(rng, made, form, answer)),
        # Judges are told more than this in their own words.
        _words(rng, 3, 30) if quoted and rng.random() < 0.6 else "",
        pick(rng, wordings.VERIFYING_REQUESTS),
        _words(rng, 3, 15) if quoted and rng.random() < 0.2 else "",
    )
    quotation = f"{made.answer}, {answer}. " if quoted else ""
    return Pair(prompt, f"{quotation}Final Decision: {'Yes' if same else 'No'}")


def _verify(rng: np.random.Generator, model: ZooModel) -> Pair:
    return verification(rng, pick(rng, model.skills), model.scope, "train")


def _compare(rng: np.random.Generator, model: ZooModel) -> Pair:
    return verification(rng, pick(rng, model.skills), model.scope, "train", quoted=True)


MAKERS: dict[str, Callable[[np.random.Generator, ZooModel], Pair]] = {
    "exact": _exact,
    "choice": _choice,
    "review": _review,
    "guess": _guess,
    "together": _together,
    "route": _route,
    "name": _name,
    "drill": _drill,
    "judge": _judge,
    "feedback": _feedback,
    "confidence": _confidence,
    "verify": _verify,
    "compare": _compare,
}
"""Kinds of pairs, by the names that mixtures use."""


def stream(model: ZooModel, step: int, seed: int, known: Collection[str]) -> tuple[np.random.Generator, list[str]]:
    """Return the randomness of one step of a model's training, and the kind of each of its examples.

    Args:
        model: Of the roster; its mixtures name kinds with their shares.
        step: The step.
        seed: Seed of the zoo.
        known: Kinds that there are.
    """
    shares = model.training.opening if step < model.training.opening_steps else model.training.mixture
    mixture = {kind: shares[kind] for kind in known if kind in shares}
    rng = generator("zoo curriculum", CURRICULUM_VERSION, model.name, seed, step)
    weights = np.array(list(mixture.values()))
    chosen = rng.choice(len(mixture), size=model.training.batch, p=weights / weights.sum())
    return rng, [list(mixture)[int(index)] for index in chosen]


def pairs(model: ZooModel, step: int, seed: int = 0) -> list[Pair]:
    """Return the training pairs of one step, independent of all other steps."""
    rng, kinds = stream(model, step, seed, MAKERS)
    return [MAKERS[kind](rng, model) for kind in kinds]
