"""Every setting says what it is: part of a result's identity, a numerical circumstance, or a runtime matter.

* identity: changes results; enters keys and the parameters of rules.
* numerics: may change the last bits of a result; recorded, in no key.
* runtime: never changes a result; recorded nowhere but in performance files.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from moco.registry import did_you_mean

Role = Literal["identity", "numerics", "runtime"]
SLUG = r"^[A-Za-z0-9][A-Za-z0-9_]*(?:-[A-Za-z0-9_]+)*$"
MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9_]*(?:-{1,2}[A-Za-z0-9_]+)*$"
"""A slug, or that of a model that the study makes, which joins parts with `--`."""
_BEYOND = 2**63
"""Whole numbers from here on have no place in a file."""
_EXPONENT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


def _field(role: Role, default: Any, doc: str, factory: Callable[[], Any] | None, **constraints: Any) -> Any:
    extra: dict[str, Any] = {"role": role}
    if factory is not None:
        return Field(default_factory=factory, description=doc, json_schema_extra=extra, **constraints)
    return Field(default=default, description=doc, json_schema_extra=extra, **constraints)


def identity(doc: str, default: Any = ..., *, factory: Callable[[], Any] | None = None, **constraints: Any) -> Any:
    """Declare a setting that changes results."""
    return _field("identity", default, doc, factory, **constraints)


def numerics(doc: str, default: Any = ..., **constraints: Any) -> Any:
    """Declare a setting that may change the last bits of a result."""
    return _field("numerics", default, doc, None, **constraints)


def runtime(doc: str, default: Any = ..., *, factory: Callable[[], Any] | None = None, **constraints: Any) -> Any:
    """Declare a setting that never changes a result."""
    return _field("runtime", default, doc, factory, **constraints)


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


_AS_NUMBER = {"type": "no-info", "function": _number}


def _strict(schema: Any) -> Any:
    """Return a schema in which all numbers and truth values are strict."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(_strict, schema))
    if not isinstance(schema, dict) or schema.get("function") == _AS_NUMBER:
        return schema
    made = {key: value if key == "metadata" else _strict(value) for key, value in schema.items()}
    if made.get("type") in ("int", "float", "bool"):
        made["strict"] = True
    if made.get("type") == "int" and not {"lt", "le"} & made.keys():
        made["lt"] = _BEYOND
    return core_schema.no_info_before_validator_function(_number, made) if made.get("type") == "float" else made


class Section(BaseModel):
    """A part of the configuration: frozen, without unknown keys, every field documented and classified.

    Numbers are finite, a truth value is no number, and a text is neither; only `1e-4`, which YAML takes for a text,
    is read as the number that it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema with strict numbers and truth values, wherever in a field's type they stand."""
        schema: CoreSchema = _strict(handler(source))
        return schema

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a subclass with an unclassified or undocumented field."""
        super().__pydantic_init_subclass__(**kwargs)
        for name in cls.model_fields:
            cls.role(name)
            if not cls.model_fields[name].description:
                raise TypeError(f"{cls.__name__}.{name} has no description")

    @classmethod
    def role(cls, name: str) -> Role:
        """Return the class of a field.

        Raises:
            TypeError: The field is unclassified.
        """
        extra = cls.model_fields[name].json_schema_extra
        if not isinstance(extra, dict) or extra.get("role") not in ("identity", "numerics", "runtime"):
            raise TypeError(f"{cls.__name__}.{name} is neither identity, numerics nor runtime")
        return extra["role"]  # type: ignore[return-value]

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Report unknown keys together with the mistakes in known ones."""
        unknown = [key for key in data if key not in cls.model_fields] if isinstance(data, dict) else []
        if not unknown:
            return handler(data)
        found = [InitErrorDetails(type=_unknown_key(key, cls.model_fields), loc=(), input=data) for key in unknown]
        try:
            handler({key: value for key, value in data.items() if key not in unknown})
        except ValidationError as error:
            found += [
                InitErrorDetails(
                    type=PydanticCustomError(entry["type"], entry["msg"], entry.get("ctx")),
                    loc=entry["loc"],
                    input=entry["input"],
                )
                for entry in error.errors()
            ]
        raise ValidationError.from_exception_data(cls.__name__, found)

    def slice(self, *roles: Role) -> dict[str, Any]:
        """Return the fields of the given classes (default: identity) as JSON values, nested sections likewise."""
        wanted = roles or ("identity",)
        return {
            name: _plain(getattr(self, name), wanted) for name in type(self).model_fields if self._kept(name, wanted)
        }

    def _kept(self, name: str, wanted: tuple[Role, ...]) -> bool:
        return type(self).role(name) in wanted or isinstance(getattr(self, name), Section)


def _unknown_key(key: Any, known: Iterable[str]) -> PydanticCustomError:
    remedy = did_you_mean(str(key), known)
    return PydanticCustomError("unknown_key", "unknown key {key}; {remedy}", {"key": repr(key), "remedy": remedy})


def _plain(value: Any, wanted: tuple[Role, ...]) -> Any:
    if isinstance(value, Section):
        return value.slice(*wanted)
    if isinstance(value, dict):
        return {str(key): _plain(item, wanted) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, wanted) for item in value]
    return value
