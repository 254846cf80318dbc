"""What shape a built zoo has: who can do what, and whether collaboration has something to gain.

python -m moco.zoo.shape --cache DIR --seed 1
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from moco.prompts import blocks
from moco.seeds import generator
from moco.zoo import wordings
from moco.zoo.build import build
from moco.zoo.curriculum import Pair, as_question, draw, pick, reply, verification, wrong_answers
from moco.zoo.objectives import encode, padded, pooled
from moco.zoo.packaged import write
from moco.zoo.preferences import MAKERS, comparison
from moco.zoo.roster import ROSTER
from moco.zoo.skills import FORMS, SKILLS, Exercise, Form
from moco.zoo.train import one_thread

MIXED = ("add", "reverse", "capital")
"""Skills of the mixed task."""

OVERLAP = ("reverse", "capital", "sort")
"""Skills of the task on which two of three models know every answer."""

_BATCH = 64
_NEW_TOKENS = 24
_EXPERTS: dict[str, tuple[str, ...]] = {
    "add": ("add",),
    "reverse": ("reverse",),
    "recall": ("capital",),
    "sort": ("sort",),
}
_PAIRS: dict[str, tuple[str, ...]] = {
    "reverse_recall": ("reverse", "capital"),
    "recall_sort": ("capital", "sort"),
    "sort_reverse": ("sort", "reverse"),
}
_ADAPTERS = {"lora_add": "add", "lora_reverse": "reverse", "lora_recall": "capital"}


@dataclass(frozen=True)
class Shape:
    """What was measured on questions of the test split.

    Attributes:
        exact: Share of right answers by model and skill, exact form.
        choice: The same with options.
        oracle: Share of mixed questions that some expert answers.
        vote: Share of overlapping questions that at least two of the models with two skills answer.
        route: Share of mixed questions for which a model names the right expert of three by number.
        together: Share of questions of all skills that a model answers after two right answers and a wrong one.
        judge: Share of questions of its own skills for which a model names the better of two answers.
        reward: Share of comparisons that a reward model decides rightly, by model and kind of wrong reply.
        verifier: Share of right decisions on equivalence.
        encoder: Share of questions whose nearest neighbour is of the same skill.
    """

    exact: dict[str, dict[str, float]]
    choice: dict[str, dict[str, float]]
    oracle: float
    vote: float
    route: dict[str, float]
    together: dict[str, float]
    judge: dict[str, float]
    reward: dict[str, dict[str, float]]
    verifier: float
    encoder: float

    def mixed(self, model: str) -> float:
        """Return a model's share of right answers on the mixed task."""
        return self._over(MIXED, model)

    def _over(self, skills: Sequence[str], model: str) -> float:
        return sum(self.exact[model][skill] for skill in skills) / len(skills)

    def violations(self) -> list[str]:
        """Return where the shape is not what it shall be, one line each."""
        return _unmet(self._claims())

    def shortfalls(self) -> list[str]:
        """Return which aims of the curriculum are not reached, one line each; no method of the project rests on them."""
        return _unmet(self._aims())

    def _claims(self) -> Iterator[tuple[str, float, str, bool]]:
        for expert, own in (_EXPERTS | _PAIRS).items():
            for skill, value in self.exact[expert].items():
                low, high = (0.9, 1.0) if skill in own else (0.0, 0.5)
                yield f"{expert} on {skill}", value, f"{low}-{high}", low <= value <= high
        for adapter, skill in _ADAPTERS.items():
            value, floor = self.exact[adapter][skill], self.exact["base"][skill] + 0.2
            yield f"{adapter} on {skill}", value, f"at least {floor:.2f}, 0.2 above base", value >= floor
        for model in (name for name in self.exact if name not in _PAIRS):
            value = self.mixed(model)
            yield f"{model} on mixed", value, "at most 0.6", value <= 0.6
        for model in self.exact:
            value = self._over(OVERLAP, model)
            yield f"{model} on overlap", value, "at most 0.8", value <= 0.8
        yield "oracle router", self.oracle, "at least 0.9", self.oracle >= 0.9
        yield "majority", self.vote, "at least 0.9", self.vote >= 0.9
        for model, kinds in self.reward.items():
            value = sum(kinds.values()) / len(kinds)
            yield f"{model} ranks", value, "at least 0.8", value >= 0.8
        yield "encoder", self.encoder, "at least 0.9", self.encoder >= 0.9
        yield "verifier", self.verifier, "at least 0.9", self.verifier >= 0.9

    def _aims(self) -> Iterator[tuple[str, float, str, bool]]:
        for model, value in self.route.items():
            yield f"{model} routes", value, "at least 0.85", value >= 0.85
        for model, value in self.judge.items():
            yield f"{model} judges", value, "at least 0.8", value >= 0.8

    def table(self) -> str:
        """Return everything as Markdown."""
        skills = list(SKILLS)
        head = ["model", *skills, "mixed", *(f"{skill}, options" for skill in skills), "route", "together", "judge"]
        lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
        for model, exact in self.exact.items():
            values: list[float | None] = [*exact.values(), self.mixed(model), *self.choice[model].values()]
            values += [self.route.get(model), self.together.get(model), self.judge.get(model)]
            cells = ["" if value is None else f"{value:.2f}" for value in values]
            lines.append(f"| {model} | " + " | ".join(cells) + " |")
        lines += ["", f"Oracle router over the experts on mixed: {self.oracle:.2f}."]
        lines += [f"Majority of the models with two skills on {', '.join(OVERLAP)}: {self.vote:.2f}.", ""]
        for model, kinds in self.reward.items():
            lines.append(f"{model}: " + ", ".join(f"{kind} {value:.2f}" for kind, value in kinds.items()) + ".")
        return "\n".join([*lines, f"verifier: {self.verifier:.2f}. encoder: {self.encoder:.2f}."])


def _unmet(claims: Iterator[tuple[str, float, str, bool]]) -> list[str]:
    return [f"{what}: {value:.2f}, not {want}" for what, value, want, holds in claims if not holds]


def _load(name: str, folder: Path, base: Path) -> tuple[Any, Any]:
    """Return network and tokenizer of a causal language model; an adapter is merged into the base."""
    if ROSTER[name].adapter is None:
        return AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    from peft import PeftModel

    network = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    return network.merge_and_unload().eval(), AutoTokenizer.from_pretrained(folder)


def _right(network: Any, tokenizer: Any, asked: Sequence[Pair]) -> list[bool]:
    """Return whether each greedy reply is the expected one."""
    replies = _replies(network, tokenizer, asked)
    return [text == one.completion for text, one in zip(replies, asked, strict=True)]


def _replies(network: Any, tokenizer: Any, asked: Sequence[Pair]) -> list[str]:
    """Return the greedy replies."""
    order = sorted(range(len(asked)), key=lambda index: len(asked[index].prompt))
    found = [""] * len(asked)
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        chats = [[{"role": "user", "content": asked[index].prompt}] for index in part]
        batch = tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        tokens = network.generate(**batch, max_new_tokens=_NEW_TOKENS, do_sample=False)
        replies = tokenizer.batch_decode(tokens[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for index, text in zip(part, replies, strict=True):
            found[index] = text.strip()
    return found


def _tests(skill: str, form: Form, count: int) -> list[Exercise]:
    """Return test questions of a skill."""
    rng = generator("zoo shape", skill, form)
    return [draw(rng, skill, form, split="test") for _ in range(count)]


def _mixed_tests(skills: Sequence[str], count: int) -> list[tuple[Exercise, Form]]:
    """Return test questions of several skills in both forms."""
    each = -(-count // len(skills))
    return [(made, form) for form in FORMS for name in skills for made in _tests(name, form, each)]


def _alone(skill: str, form: Form, count: int) -> list[Pair]:
    tests = _tests(skill, form, count)
    return [Pair(blocks.task_prompt(as_question(made, form)), reply(form, made.answer)) for made in tests]


def _routing(count: int) -> list[Pair]:
    """Return mixed questions with the descriptions of three experts, in words that no training prompt has."""
    rng = generator("zoo shape", "route")
    asked = []
    for made, form in _mixed_tests(MIXED, count // 2):
        order = [MIXED[int(index)] for index in rng.permutation(3)]
        described = [wordings.DESCRIPTIONS[name][0] for name in order]
        prompt = blocks.compose(
            "You forward user questions to the most suitable assistant, judged by the descriptions.",
            blocks.block("question", blocks.task_prompt(as_question(made, form))),
            "Descriptions of the assistants:",
            "\n".join(f"{rank}) {text}" for rank, text in enumerate(described, start=1)),
            "Which of them is most suitable for the question? Reply with its number only.",
        )
        asked.append(Pair(prompt, str(order.index(made.skill) + 1)))
    return asked


def _with_others(skills: Sequence[str], count: int) -> list[Pair]:
    """Return questions with two right answers and a wrong one of others."""
    rng = generator("zoo shape", "together", *skills)
    asked = []
    for made, form in _mixed_tests(skills, count // 2):
        answers = [made.answer, made.answer, wrong_answers(made)[0]]
        shown = [blocks.candidate(rank + 1, reply(form, answers[one])) for rank, one in enumerate(rng.permutation(3))]
        prompt = blocks.compose(
            "Others have worked on a question.",
            blocks.question(as_question(made, form)),
            *shown,
            "Look at what they wrote and find the right answer.",
            blocks.answer_format(as_question(made, form).type),
        )
        asked.append(Pair(prompt, reply(form, made.answer)))
    return asked


def _judging(skills: Sequence[str], count: int) -> list[Pair]:
    """Return questions with a right and a wrong answer."""
    rng = generator("zoo shape", "judge", *skills)
    asked = []
    for made, form in _mixed_tests(skills, count // 2):
        first = int(rng.integers(2))
        both = [made.answer, wrong_answers(made)[0]]
        prompt = blocks.compose(
            "Be a fair judge of two replies.",
            blocks.block("question", blocks.question(as_question(made, form))),
            *(blocks.candidate(rank, reply(form, both[(first + rank - 1) % 2])) for rank in (1, 2)),
            "Which of the two is right? Reply with its number only.",
        )
        asked.append(Pair(prompt, str(first + 1)))
    return asked


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)


def _chat(name: str, folders: dict[str, Path], count: int) -> dict[str, Any]:
    """Return what a model that answers can do; `mixed` and `overlap` hold questions in order."""
    model = ROSTER[name]
    network, tokenizer = _load(name, folders[name], folders["base"])
    exact = {skill: _right(network, tokenizer, _alone(skill, "exact", count)) for skill in SKILLS}
    return {
        "exact": {skill: _mean(values) for skill, values in exact.items()},
        "choice": {skill: _mean(_right(network, tokenizer, _alone(skill, "choice", count))) for skill in SKILLS},
        "mixed": [value for skill in MIXED for value in exact[skill]],
        "overlap": [value for skill in OVERLAP for value in exact[skill]],
        "route": _mean(_right(network, tokenizer, _routing(count))),
        "together": _mean(_right(network, tokenizer, _with_others(tuple(SKILLS), count))),
        "judge": _mean(_right(network, tokenizer, _judging(model.skills, count))),
    }


def _verifier(name: str, folders: dict[str, Path], count: int) -> float:
    network, tokenizer = _load(name, folders[name], folders["base"])
    rng = generator("zoo shape", "verifier")
    asked = [verification(rng, pick(rng, tuple(SKILLS)), "full", "test", quoted=True) for _ in range(2 * count)]
    decided = [
        text.rpartition(". ")[2] == one.completion.rpartition(". ")[2]
        for text, one in zip(_replies(network, tokenizer, asked), asked, strict=True)
    ]
    return _mean(decided)


def _reward(name: str, folders: dict[str, Path], count: int) -> dict[str, float]:
    network = AutoModelForSequenceClassification.from_pretrained(folders[name]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    rng = generator("zoo shape", "reward")
    result = {}
    for kind in MAKERS:
        right = []
        for number in range(count):
            form: Form = FORMS[number % 2]
            made = comparison(rng, draw(rng, pick(rng, tuple(SKILLS)), form, split="test"), form, kind)
            rows = [row for row, _ in encode(tokenizer, [Pair(made.prompt, text) for text in (made.right, made.wrong)])]
            ids, mask = padded(rows, tokenizer.pad_token_id), padded([[1] * len(row) for row in rows], 0)
            better, worse = network(input_ids=ids, attention_mask=mask).logits[:, 0].tolist()
            right.append(better > worse)
        result[kind] = _mean(right)
    return result


def _encoder(name: str, folders: dict[str, Path], count: int) -> float:
    network = AutoModel.from_pretrained(folders[name]).eval()
    tokenizer = AutoTokenizer.from_pretrained(folders[name])
    asked = [(made.question, skill) for skill in SKILLS for made in _tests(skill, "exact", count)]
    batch = tokenizer([text for text, _ in asked], padding=True, return_tensors="pt", return_token_type_ids=False)
    vectors = pooled(network, batch["input_ids"], batch["attention_mask"])
    nearest = (vectors @ vectors.T).fill_diagonal_(-1.0).argmax(dim=1).tolist()
    return _mean([asked[near][1] == skill for near, (_, skill) in zip(nearest, asked, strict=True)])


def build_roster(cache: Path, seed: int, jobs: int = 1, *, anew: bool = False) -> dict[str, Path]:
    """Return the folders of all models of the roster, after making the missing ones, `jobs` at a time.

    Args:
        cache: Folder of the zoo.
        seed: Seed of the zoo.
        jobs: Models made at a time.
        anew: Train them, whatever the package has.
    """
    parents = {model.parent for model in ROSTER.values()}
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:

        def start(heirs: bool) -> dict[str, Future[Path]]:
            longest_first = sorted(ROSTER.values(), key=lambda model: -model.steps * model.parameters)
            chosen = [model.name for model in longest_first if (model.parent is not None) == heirs]
            return {name: pool.submit(build, name, cache, seed=seed, anew=anew) for name in chosen}

        begun = start(heirs=False)
        # Until its parent is there, an heir would keep a process waiting.
        wait([job for name, job in begun.items() if name in parents])
        begun |= start(heirs=True)
        return {name: begun[name].result() for name in ROSTER}


def measure(folders: dict[str, Path], count: int = 100) -> Shape:
    """Measure a roster.

    Args:
        folders: Checkpoints by name.
        count: Questions per model and skill.
    """
    verbs: dict[str, list[str]] = {"chat": [], "verify": [], "reward": [], "embed": []}
    for name, model in ROSTER.items():
        verbs["verify" if name == "verifier" else model.role].append(name)
    with one_thread(), torch.inference_mode():
        chats = {name: _chat(name, folders, count) for name in verbs["chat"]}
        rewards = {name: _reward(name, folders, count) for name in verbs["reward"]}
        verifier = _verifier("verifier", folders, count)
        encoder = _encoder("encoder", folders, count)
    answered = zip(*(chats[name]["mixed"] for name in _EXPERTS), strict=True)
    votes = zip(*(chats[name]["overlap"] for name in _PAIRS), strict=True)
    return Shape(
        exact={name: made["exact"] for name, made in chats.items()},
        choice={name: made["choice"] for name, made in chats.items()},
        oracle=_mean([any(row) for row in answered]),
        vote=_mean([sum(row) >= 2 for row in votes]),
        route={name: made["route"] for name, made in chats.items()},
        together={name: made["together"] for name, made in chats.items()},
        judge={name: made["judge"] for name, made in chats.items()},
        reward=rewards,
        verifier=verifier,
        encoder=encoder,
    )


def main() -> None:
    """Build what is missing, measure it, and print the table with what is not as it shall be."""
    parser = argparse.ArgumentParser(description="Build and measure the zoo.")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the zoo, as in $MOCO_CACHE")
    parser.add_argument("--seed", type=int, default=0, help="seed of the zoo")
    parser.add_argument("--count", type=int, default=100, help="questions per model and skill")
    parser.add_argument("--jobs", type=int, default=1, help="models trained at a time")
    parser.add_argument("--anew", action="store_true", help="train what the cache lacks, whatever the package has")
    parser.add_argument("--package", action="store_true", help="write the models into the package if all is well")
    options = parser.parse_args()
    folders = build_roster(options.cache, options.seed, options.jobs, anew=options.anew)
    found = measure(folders, options.count)
    lines = [f"## Zoo, seed {options.seed}", "", found.table(), ""]
    lines += [f"* Not as it shall be: {line}." for line in found.violations()]
    lines += [f"* Aim not reached: {line}." for line in found.shortfalls()]
    sys.stdout.write("\n".join(lines) + "\n")
    if options.package and not found.violations():
        write(folders, found.table())
    raise SystemExit(bool(found.violations()))


if __name__ == "__main__":
    main()
