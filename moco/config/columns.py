"""The vocabulary that maps the columns of a published dataset to the fields of an item.

A value is read from a column (dots lead into nested objects), from several columns, from a template or from a constant;
named steps then change it one after the other. `moco.tasks.sources.columns` gives the steps their meaning.
"""

from typing import Any

from pydantic import field_validator, model_validator

from moco.config.fields import Section, identity
from moco.registry import did_you_mean

STEPS: dict[str, tuple[bool, str]] = {
    "json": (False, "The value that a text holds as JSON."),
    "text": (False, "The value as a text."),
    "strip": (False, "Without white space at both ends."),
    "values": (False, "The values of an object, in order."),
    "last_boxed": (False, r"The content of the last \boxed{...}; null where there is none."),
    "drop_label": (False, "Without a leading option label such as `(A)`; on a list, of every text."),
    "bare_letter": (False, "`A` for `(A)`; other texts stay."),
    "called_name": (False, "The function that an assertion calls."),
    "after": (True, "The text after the last occurrence; the whole text where there is none."),
    "before": (True, "The text before the first occurrence; the whole text where there is none."),
    "drop_prefix": (True, "Without that text at the beginning."),
    "map": (True, "The value that the mapping gives, without regard to case; anything else is an error."),
    "index_of": (True, "The position of that value in the list."),
    "position_in": (True, "The position of the value in the list of that column."),
    "join": (True, "The texts of a list, joined by that text."),
    "first_where": (True, "The first object of the list with those values."),
    "get": (True, "That key of the object."),
    "assertions": (
        True,
        "Assertions as a `check(candidate)` function; the argument names the column with code that precedes them.",
    ),
}
"""Name of a step: whether it takes an argument, and what it does."""

Step = dict[str, Any]


def parse_steps(value: Any) -> Any:
    """Return steps as mappings of a name to its argument (null for none).

    Raises:
        ValueError: A step is unknown, or has an argument too many or too few.
    """
    if not isinstance(value, (list, tuple)):
        return value
    return tuple(_parse_step(step) for step in value)


def _parse_step(step: Any) -> Step:
    written = {step: None} if isinstance(step, str) else step
    if not isinstance(written, dict) or len(written) != 1:
        raise ValueError("a step is a name, or one name with its argument")
    name, argument = next(iter(written.items()))
    if name not in STEPS:
        raise ValueError(f"unknown step {name!r}; {did_you_mean(str(name), STEPS)}")
    if STEPS[name][0] == (argument is None):
        raise ValueError(f"step {name!r} {'needs' if STEPS[name][0] else 'takes no'} argument")
    return dict(written)


class Value(Section):
    """Where a field's value comes from. A text alone names a column."""

    column: str | None = identity("A column; dots lead into nested objects, numbers into lists.", None)
    columns: tuple[str, ...] | None = identity("Several columns, as a list.", None)
    template: str | None = identity(
        "A text with columns in braces; a line whose columns are all empty is left out.", None
    )
    constant: Any = identity("The same value for every item.", None)
    steps: tuple[Step, ...] = identity("Named changes, one after the other.", ())

    @model_validator(mode="before")
    @classmethod
    def _column_by_name(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @field_validator("steps", mode="before")
    @classmethod
    def _known_steps(cls, value: Any) -> Any:
        return parse_steps(value)

    @model_validator(mode="after")
    def _one_origin(self) -> "Value":
        origins = [self.column, self.columns, self.template, self.constant]
        if sum(origin is not None for origin in origins) != 1:
            raise ValueError("give exactly one of column, columns, template, constant")
        return self


class Condition(Section):
    """Rows are kept only where the column fulfils everything that is said of it."""

    column: str = identity("A column; dots lead into nested objects.")
    among: tuple[Any, ...] | None = identity("The value is one of these.", None)
    starts_with: str | None = identity("The text starts so.", None)
    missing: bool | None = identity("The value is missing or empty (true), or there (false).", None)


class Columns(Section):
    """Columns of a published dataset for the fields of an item."""

    question: Value = identity("Text of the question.")
    options: Value | None = identity("List of options, or an object of them.", None)
    gold: Value | None = identity("The right answer.", None)
    src_id: Value | None = identity("Id at the source; the row number when left out.", None)
    group: Value | None = identity("What items share that must not be split between dev and test.", None)
    domain: Value | None = identity("Part of the dataset; the configuration when there are several.", None)
    entry_point: Value | None = identity("Function that tests call.", None)
    preamble: Value | None = identity("Code that precedes the solution.", None)
    meta: dict[str, Value] = identity("Further facts of an item.", factory=dict)
