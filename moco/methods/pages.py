"""What a method says of itself, as data and as a page; the docstring of its class has what code cannot say.

`python -m moco.methods.pages` writes `docs/methods`; `moco methods NAME` prints a page.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from textwrap import dedent, fill
from typing import Any

from pydantic_core import PydanticUndefined

from moco.config.fields import Section
from moco.config.reference import default_text, type_name
from moco.generated import rewrite
from moco.methods.base import COMMON_BASE, LEVELS, FitNeeds, Method, Needs, PoolInfo
from moco.methods.catalogue import make_method, method_class, method_ids

MARK = "<!-- generated: make reference -->"
HEADINGS = ("Papers", "Cost", "Records", "Deviations")
"""Sections of the docstring of a method, each under its heading and indented; papers and deviations where it has a paper."""

_SECTION = re.compile(rf"^({'|'.join(HEADINGS)}):\n((?:[ \t]+.*\n|\n)*)", re.MULTILINE)
_FORMULA = re.compile(r"(At most )?`([^`]+)` calls? per item\b")
_ANY_SIZE = 3  # of a pool, for what needs it
_WIDTH = 120


def about(cls: type[Method]) -> tuple[str, dict[str, str]]:
    """Return the idea of a method, and its sections by heading."""
    text = cleandoc(cls.__doc__ or "") + "\n"
    return _SECTION.sub("", text).strip(), {name: dedent(body).strip() for name, body in _SECTION.findall(text)}


def lacking(cls: type[Method]) -> list[str]:
    """Return the headings of the sections that a method should have and has not."""
    sections = about(cls)[1]
    return [name for name in (HEADINGS if cls.papers else ("Cost", "Records")) if not sections.get(name)]


def cost_formula(cls: type[Method]) -> tuple[str, bool] | None:
    """Return the calls per item of a method's own, and whether there may be fewer; None where that cannot be read.

    It is an expression in Python of the settings and `members`, the size of the pool.
    """
    found = _FORMULA.match(about(cls)[1].get("Cost", ""))
    return (found[2], bool(found[1])) if found else None


def titles(cls: type[Method]) -> dict[str, str]:
    """Return the titles of a method's papers by arXiv id, as its docstring lists them."""
    lines = re.sub(r"\n[ \t]+", " ", about(cls)[1].get("Papers", "")).splitlines()
    return {id: title for id, _, title in (line.partition(" ") for line in lines)}


def describe(id: str) -> dict[str, Any]:
    """Return what a method says of itself, as JSON values."""
    cls = method_class(id)
    idea, sections = about(cls)
    params = {
        name: {
            "type": type_name(field.annotation),
            "default": None if field.default is PydanticUndefined else field.default,
            "required": field.is_required(),
            "role": section.role(name.rpartition(".")[2]),
            "doc": field.description,
        }
        for name, section, field in _settings(cls.Params)
    }
    required = any(param["required"] for param in params.values())
    return {
        "id": id,
        "level": cls.level,
        "papers": list(cls.papers),
        "task_types": None if cls.task_types is None else sorted(cls.task_types),
        "doc": idea,
        **{name.lower(): text for name, text in sections.items() if name != "Papers"},
        "module": cls.__module__,
        "params": params,
        "needs": None if required else make_method(id, {}).needs(PoolInfo.of_size(_ANY_SIZE)).as_json(),
    }


def _settings(section: type[Section], within: str = "") -> Iterator[tuple[str, type[Section], Any]]:
    """Yield the settings of a section and of the sections in it, with their names, sections and fields."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from _settings(field.annotation, f"{within}{name}.")
        else:
            yield within + name, section, field


def page(id: str) -> str:
    """Return all that a method says of itself, as Markdown."""
    cls = method_class(id)
    idea, sections = about(cls)
    parts = [f"# {id}", idea, "\n".join(_facts(cls))]
    if cls.papers:
        known = titles(cls)
        parts += ["## Papers", "\n".join(f"* {_paper(paper, known.get(paper, ''))}" for paper in cls.papers)]
    parts += ["## Settings", "\n".join(_setting_lines(cls)) or "None."]
    parts += ["## Needs", _needs(id)]
    for name in ("Cost", "Records", "Deviations"):
        parts += [f"## {name}", sections[name]] if name in sections else []
    return "\n\n".join(parts) + "\n"


def _facts(cls: type[Method]) -> list[str]:
    types = "all" if cls.task_types is None else ", ".join(f"`{name}`" for name in sorted(cls.task_types))
    return [f"* level: {cls.level}", f"* task types: {types}", f"* module: `{cls.__module__}`"]


def _paper(id: str, title: str) -> str:
    return f"[arXiv {id}](https://arxiv.org/abs/{id}) {title}".rstrip()


def _setting_lines(cls: type[Method]) -> list[str]:
    return [
        _wrapped(f"* `{name}` ({type_name(field.annotation)}; {default_text(field)}): {field.description}")
        for name, _, field in _settings(cls.Params)
    ]


def _wrapped(line: str) -> str:
    return fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def _needs(id: str) -> str:
    """Return what a method needs where its settings are the default ones."""
    if any(field.is_required() for _, _, field in _settings(method_class(id).Params)):
        return "They depend on settings that have no default."
    needs = make_method(id, {}).needs(PoolInfo.of_size(_ANY_SIZE))
    lines = [("pool", _pool_needs(needs))]
    lines += [(f"helper `{role}`", _helper(one.model, one.capabilities)) for role, one in needs.helpers.items()]
    lines += [("fit", _fit_needs(needs.fit, needs.fit_scope) if needs.fit else "nothing to fit")]
    lines += [("models that the fit makes", _listed(f"`{name}`" for name in needs.models))] if needs.models else []
    lines += [("answer", _answer_needs(needs))]
    return "With the default settings:\n\n" + "\n".join(_wrapped(f"* {name}: {text}") for name, text in lines)


def _pool_needs(needs: Needs) -> str:
    size = f"{needs.min_models} or more members"
    if needs.max_models is not None:
        size = f"{needs.min_models} to {needs.max_models} members"
    found = [size, *([_offering(needs.of_members)] if needs.of_members else [])]
    found += [f"of one {what}" for what in sorted(needs.same)]
    return _listed([*found, *(["each with a description"] if needs.descriptions else [])])


def _helper(model: str, capabilities: frozenset[str]) -> str:
    name = "the base that all adapters of the pool share" if model == COMMON_BASE else f"model `{model}` of the study"
    return f"{name}, {_offering(capabilities)}"


def _offering(capabilities: frozenset[str]) -> str:
    return "offering " + _listed(f"`{name}`" for name in sorted(capabilities))


def _fit_needs(fit: FitNeeds, scope: str) -> str:
    if not fit.splits:
        return "reads no item"
    parts = {
        f"{fit.plain} plain responses of every member": fit.plain,
        "the scores of all plain responses": fit.dev_scores,
        "references": fit.references,
        **{f"cached logits `{kind}`": True for kind in fit.logits},
        "replies of models that it asks": fit.generates,
        "replies of models that write together": fit.live,
        "merged candidates": fit.merges,
        "training": fit.trains,
        **{f"corpus `{name}`": True for name in fit.corpora},
    }
    found = _listed(_of_one(text) for text, wanted in parts.items() if wanted) or "the questions"
    return f"{found}; on {_listed(fit.splits)}, {'one for all tasks' if scope == 'pool' else 'for each task'}"


def _answer_needs(needs: Needs) -> str:
    answer = needs.answer
    named = " that it names" if answer.plain_mode == "lazy" else ""
    parts = {
        f"{answer.plain} plain responses of every member{named}": answer.plain,
        f"{answer.fitted_plain} plain responses of every model that the fit makes": answer.fitted_plain,
        **{f"cached logits `{kind}`": True for kind in answer.logits},
        "replies of models that it asks": answer.generates,
        "replies of models that write together": answer.live,
        "answers read out of replies": answer.extracts,
    }
    return _listed(_of_one(text) for text, wanted in parts.items() if wanted) or "the questions"


def _of_one(text: str) -> str:
    return re.sub(r"^1 plain responses", "1 plain response", text)


def _listed(words: Any) -> str:
    return ", ".join(words)


def index(ids: Sequence[str]) -> str:
    """Return the tables of methods by level and of papers, as Markdown."""
    parts = [MARK]
    for level in LEVELS:
        rows = [_index_row(id) for id in ids if method_class(id).level == level]
        head = ["| method | what it does | own calls per item |", "|---|---|---|"]
        parts += [f"## Level: {level}", "\n".join([*head, *rows])]
    papers: dict[str, tuple[str, list[str]]] = {}
    for id in ids:
        for paper in method_class(id).papers:
            papers.setdefault(paper, (titles(method_class(id))[paper], []))[1].append(id)
    rows = [
        f"| {_paper(paper, title)} | {_listed(map(_link, users))} |" for paper, (title, users) in sorted(papers.items())
    ]
    parts += ["## Papers", "\n".join(["| paper | methods |", "|---|---|", *rows])]
    return "\n\n".join(parts) + "\n"


def _index_row(id: str) -> str:
    cls = method_class(id)
    formula, fewer = cost_formula(cls) or ("", False)
    return f"| {_link(id)} | {about(cls)[0].splitlines()[0]} | {'at most ' if fewer else ''}`{formula}` |"


def _link(id: str) -> str:
    return f"[`{id}`]({id}.md)"


def pages() -> dict[str, str]:
    """Return the pages of the methods of this package by file name."""
    own = [id for id in method_ids() if method_class(id).__module__.startswith("moco.")]
    return {f"{id}.md": f"{MARK}\n\n{page(id)}" for id in sorted(own)}


def _write(folder: Path) -> None:
    for path in folder.glob("*_*.md"):
        path.unlink()
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/methods/README.md")
    _write(target.parent)
    rewrite(str(target), MARK, index([name.removesuffix(".md") for name in pages()]))
