"""Golds that are more than an answer: what a reply is checked against, of task types whose items have fields of their own."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moco.errors import RequestError
from moco.prompts.wordings import kernel_question, pharmacophore_question
from moco.registry import did_you_mean
from moco.tasks.sources.fields import brief, kind_of

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Structured:
    """What the fields of an item say.

    Attributes:
        gold: What scorers see.
        kind: Its kind.
        question: Text of the item, where it is made of the fields; None where the source has it.
        domain: Part of the dataset, where the fields tell.
        group: What items share that must not be split.
        rest: Fields that are no part of the gold.
    """

    gold: dict[str, Any]
    kind: str
    question: str | None = None
    domain: str = ""
    group: str | None = None
    rest: dict[str, Any] = field(default_factory=dict)


def structured(task_type: str, fields: Fields, where: str) -> Structured:
    """Return what the fields of an item say.

    Args:
        task_type: One of `STRUCTURED`.
        fields: By the names of MoCo's format; further ones are kept.
        where: File, split and row.

    Raises:
        RequestError: A field is missing or does not suit the task type.
    """
    return STRUCTURED[task_type](fields, where)


def _instructions(fields: Fields, where: str) -> Structured:
    """Return instructions to follow, each with an id and its arguments."""
    ids = _texts(fields, "instruction_id_list", where)
    arguments = _field(fields, "kwargs", list, where)
    if len(arguments) != len(ids) or not all(isinstance(each, dict) for each in arguments):
        raise RequestError("kwargs does not hold one object for each instruction", where=where)
    instructions = [
        {"id": name, "arguments": {key: value for key, value in each.items() if value is not None}}
        for name, each in zip(ids, arguments, strict=True)
    ]
    return Structured(
        {"instructions": instructions}, "instructions", rest=_rest(fields, "instruction_id_list", "kwargs")
    )


def _relevance(fields: Fields, where: str) -> Structured:
    """Return genes and their relevance."""
    genes = _texts(fields, "relevance_genes", where)
    scores = _field(fields, "relevance_scores", list, where)
    if len(scores) != len(genes) or not all(map(_is_number, scores)):
        raise RequestError("relevance_scores does not hold one number for each gene", where=where)
    return Structured(
        {"genes": genes, "scores": [float(score) for score in scores]},
        "relevance",
        rest=_rest(fields, "relevance_genes", "relevance_scores"),
    )


def _molecules(fields: Fields, where: str) -> Structured:
    """Return hidden molecules that a function has to tell apart, or a molecule to improve."""
    subtype = _field(fields, "subtype", str, where)
    if subtype == "lead_opt":
        reference = _field(fields, "reference_smiles", str, where)
        rest = _rest(fields, "subtype", "reference_smiles")
        return Structured({"reference": reference}, subtype, domain=subtype, group=reference, rest=rest)
    if subtype != "pharmacophore":
        what = f"subtype is {brief(subtype)}"
        raise RequestError(what, where=where, remedy=did_you_mean(subtype, ("lead_opt", "pharmacophore")))
    names = ("train_actives", "train_decoys", "hidden_actives", "hidden_decoys")
    shown_actives, shown_decoys, actives, decoys = (_texts(fields, name, where) for name in names)
    gold = {"actives": actives, "decoys": decoys, "shown": [*shown_actives, *shown_decoys]}
    question = pharmacophore_question(shown_actives, shown_decoys)
    return Structured(gold, subtype, question, domain=subtype, rest=_rest(fields, "subtype", *names))


def _kernel(fields: Fields, where: str) -> Structured:
    """Return a model of which a faster version is asked for, or a measurement of one."""
    source = _field(fields, "input", str, where)
    level = fields.get("level")
    if isinstance(level, bool) or not isinstance(level, int | None):
        raise RequestError(f"level is {kind_of(level)}, not a whole number", where=where)
    if level is None:
        level = _level(fields.get("id"))
    gold = {"source": source, "level": level}
    if "result" in fields:
        gold["result"] = fields["result"]
    domain = "" if level is None else f"level_{level}"
    return Structured(
        gold, "kernel", kernel_question(source), domain=domain, rest=_rest(fields, "input", "level", "result")
    )


def _level(name: Any) -> int | None:
    first = str(name).partition("_")[0]
    return int(first[1:]) if first[:1] == "l" and first[1:].isascii() and first[1:].isdigit() else None


STRUCTURED: dict[str, Callable[[Fields, str], Structured]] = {
    "gene_ranking": _relevance,
    "ifeval": _instructions,
    "kernel_bench": _kernel,
    "smdd": _molecules,
}
"""Task types whose items have such fields."""


def _field(fields: Fields, name: str, kind: type, where: str) -> Any:
    if name not in fields:
        raise RequestError(f"field {name!r} is missing", where=where, remedy=did_you_mean(name, fields))
    if not isinstance(fields[name], kind):
        raise RequestError(f"{name} is {kind_of(fields[name])}", where=where)
    return fields[name]


def _texts(fields: Fields, name: str, where: str) -> list[str]:
    values: list[str] = _field(fields, name, list, where)
    for value in values:
        if not isinstance(value, str):
            raise RequestError(f"{name} lists {kind_of(value)}, not only texts", where=where)
    return values


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rest(fields: Fields, *taken: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in taken}
