"""The vocabulary that maps the columns of a published dataset to the fields of an item.

A value is read from a column (dots lead into nested objects), from several columns, from a template or from a constant.
What no such value says, a function of `moco.config.oddities` does.
"""

from typing import Annotated, Any

from pydantic import AfterValidator, model_validator

from moco.config.fields import Section, identity
from moco.config.oddities import FUNCTIONS
from moco.registry import did_you_mean


def known_function(name: str | None) -> str | None:
    """Return the name of a function for odd rows.

    Raises:
        ValueError: There is none of that name.
    """
    if name is not None and name not in FUNCTIONS:
        raise ValueError(f"unknown function {name!r}; {did_you_mean(name, FUNCTIONS)}")
    return name


Function = Annotated[str | None, AfterValidator(known_function)]


class Value(Section):
    """Where a field's value comes from. A text alone names a column."""

    column: str | None = identity("A column; dots lead into nested objects, numbers into lists.", None)
    columns: tuple[str, ...] | None = identity("Several columns, as a list.", None)
    template: str | None = identity(
        "A text with columns in braces; a line whose columns are all empty is left out.", None
    )
    constant: Any = identity("The same value for every item.", None)

    @model_validator(mode="before")
    @classmethod
    def _column_by_name(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

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

    def fields(self) -> dict[str, Value]:
        """Return the values of an item's own fields, those that are given."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name != "meta"}
        return {name: value for name, value in found.items() if value is not None}
