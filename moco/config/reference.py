"""The configuration reference: every key, its type, default, class and meaning, from the typed configuration itself.

`python -m moco.config.reference` rewrites the generated part of `config/README.md`.
"""

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic_core import PydanticUndefined

from moco.config.columns import Columns, Condition, Value
from moco.config.corpora import CorpusEntry
from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.evolution import EvolutionEntry
from moco.config.fields import Section
from moco.config.models import AdapterModel, HubModel, LocalModel, ServerModel, ServerRequests, TunedModel, ZooModel
from moco.config.scoring import CodeExecution, Scoring
from moco.config.study import Comparison, PoolEntry, Site, Study
from moco.config.tasks import HubSource, MocoSource, SyntheticSource, TableSource, TaskEntry, TaskSource
from moco.config.training import Dpo, Grpo, Sft, SftRecipe
from moco.digest import canonical_json
from moco.generated import rewrite

MARK = "<!-- generated: make reference -->"

_SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ("Study", Study),
    ("Models: hub checkpoint", HubModel),
    ("Models: local folder", LocalModel),
    ("Models: adapter", AdapterModel),
    ("Models: zoo", ZooModel),
    ("Models: tuned", TunedModel),
    ("Training: of tuned models", SftRecipe),
    ("Models: server", ServerModel),
    ("Models: requests to a server", ServerRequests),
    ("Engine", EngineSettings),
    ("Decoding preset", Decoding),
    ("Scoring", Scoring),
    ("Scoring: code", CodeExecution),
    ("Pool", PoolEntry),
    ("Task", TaskEntry),
    ("Task source: synthetic", SyntheticSource),
    ("Task source: hub", HubSource),
    ("Columns of a hub source", Columns),
    ("Value of a column", Value),
    ("Condition on rows", Condition),
    ("Task source: MoCo JSON", MocoSource),
    ("Task source: tables", TableSource),
    ("Task source: another task", TaskSource),
    ("Corpus", CorpusEntry),
    ("Comparison", Comparison),
    ("Evolution", EvolutionEntry),
    ("Training: supervised (students of the loop, models of fits)", Sft),
    ("Training: preferences", Dpo),
    ("Training: rewards", Grpo),
    ("Site", Site),
)


def reference() -> str:
    """Return the reference as Markdown."""
    parts = [MARK]
    for title, section in _SECTIONS:
        rows = [_row(section, name) for name in section.model_fields]
        parts.append(
            "\n".join([f"## {title}", "", "| key | type | default | class | meaning |", "|---|---|---|---|---|", *rows])
        )
    return "\n\n".join(parts) + "\n"


def _row(section: type[Section], name: str) -> str:
    field = section.model_fields[name]
    cells = [f"`{name}`", type_name(field.annotation), default_text(field), section.role(name), field.description or ""]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def type_name(annotation: Any) -> str:
    """Return the type of a setting in words."""
    origin, arguments = get_origin(annotation), [arg for arg in get_args(annotation) if arg is not Ellipsis]
    if origin is Annotated:
        return type_name(arguments[0])
    if origin is Literal:
        return " or ".join(str(value) for value in arguments)
    if origin in (tuple, list):
        return f"list of {type_name(arguments[0])}"
    if origin is dict:
        return f"mapping of {type_name(arguments[0])} to {type_name(arguments[1])}"
    if arguments:
        sections = [arg for arg in arguments if isinstance(arg, type) and issubclass(arg, Section)]
        names = ["a section, by `kind`"] if len(sections) > 1 else [type_name(arg) for arg in arguments]
        return " or ".join(names)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "null"}.get(
        annotation, "any"
    )


def default_text(field: Any) -> str:
    """Return the default of a setting as Markdown, or `required`."""
    if field.is_required():
        return "required"
    value = field.default if field.default is not PydanticUndefined else field.default_factory()
    if isinstance(value, Section):
        return "its defaults"
    if isinstance(value, dict) and any(isinstance(item, Section) for item in value.values()):
        return ", ".join(f"`{name}`" for name in value) + " with its defaults"
    if isinstance(value, tuple) and any(isinstance(item, Section) for item in value):
        return "all with all"
    return f"`{canonical_json(value)}`"


if __name__ == "__main__":
    rewrite("config/README.md", MARK, reference())
