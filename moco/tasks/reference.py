"""The list of registered datasets as Markdown, from the registry itself.

`python -m moco.tasks.reference` rewrites the generated part of `docs/tasks.md`.
"""

from moco.config.datasets import Dataset, Side, dataset, dataset_names
from moco.generated import rewrite

MARK = "<!-- generated: python -m moco.tasks.reference -->"

_SURE = {"confirmed": "", "stated": " (as a third party says)", "memory": " (not checked)"}


def reference() -> str:
    """Return the table and one section for each dataset, as Markdown."""
    found = [dataset(name) for name in dataset_names()]
    rows = [_row(known) for known in found]
    head = ["| dataset | domain | type | dev | test | licence | source |", "|---|---|---|---:|---:|---|---|"]
    sections = [_section(known) for known in found]
    return "\n".join([MARK, "", "## All datasets", "", *head, *rows, "", *sections])


def where_from(known: Dataset) -> str:
    """Return where a dataset lies, in a few words."""
    if known.hub is None and known.in_release:
        return (
            known.elsewhere if known.elsewhere.startswith("the release alone") else f"release; also {known.elsewhere}"
        )
    if known.hub is None:
        return f"no hub copy known; {known.elsewhere}"
    configs = known.hub.configs
    shown = f" ({', '.join(configs)})" if 0 < len(configs) <= 2 else f" ({len(configs)} parts)" if configs else ""
    return f"{'release; ' if known.in_release else ''}{known.hub.repository}{shown}{', gated' if known.gated else ''}"


def licence(known: Dataset) -> str:
    """Return a dataset's licence, with how sure it is."""
    return f"{known.licence}{_SURE[known.licence_known]}"


def facts(known: Dataset) -> list[tuple[str, str]]:
    """Return all that is known of a dataset as label and text."""
    listed = [
        ("domain", known.domain + (f"; family {known.family}" if known.family else "")),
        ("default type", known.type + ("; an item counts only with its whole group" if known.group_score else "")),
        ("items", f"{_count(known, 'dev')} dev, {_count(known, 'test')} test"),
        ("limit", ", ".join(f"{split} {most}" for split, most in known.limit.items())),
        ("source", where_from(known)),
    ]
    if known.hub is not None:
        splits = {ours: name if isinstance(name, str) else " + ".join(name) for ours, name in known.hub.splits.items()}
        cut = " (one source split, cut without overlap)" if len(set(splits.values())) < len(splits) else ""
        listed.append(("splits", ", ".join(f"{ours} from {theirs}" for ours, theirs in splits.items()) + cut))
        listed.append(("how sure", known.hub_status))
    listed += [("groups", known.group)] if known.group else []
    listed += [("licence", licence(known)), ("cite", known.citation)]
    listed += [("in the paper", "yes" if known.paper else "no")]
    listed += [("overlaps", f"{overlap.dataset}: {overlap.what}") for overlap in known.overlaps]
    for entry in known.broken:
        ids = "; ".join(f"{split} {' '.join(found)}" for split, found in entry.ids.items())
        listed.append(("not valid in MoCo's file", f"{entry.problem} ({ids})"))
    return listed


def _count(known: Dataset, split: Side) -> str:
    return str(known.sizes.get(split, "unknown"))


def _row(known: Dataset) -> str:
    cells = [f"[{known.name}](#{known.name})", known.domain, known.type]
    cells += [_count(known, "dev"), _count(known, "test"), licence(known), where_from(known)]
    return "| " + " | ".join(cells) + " |"


def _section(known: Dataset) -> str:
    lines = [f"### {known.name}", "", f"{known.title}.", ""]
    lines += [f"* {label}: {text}" for label, text in facts(known)]
    lines += ["", "Pitfalls:", "", *(f"* {pitfall}" for pitfall in known.pitfalls)] if known.pitfalls else []
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    rewrite("docs/tasks.md", MARK, reference())
