"""Every setting says what it is, and only identity reaches keys, slices and plans."""

from types import SimpleNamespace
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ValidationError
from support.plans import all_methods

from moco import paths
from moco.config import decoding, engine, models, study, tasks  # noqa: F401
from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.config.fields import Section, identity, numerics, runtime
from moco.config.load import study_from
from moco.config.study import Study
from moco.methods.catalogue import method_ids
from moco.workflow.plan import Plan


def sections() -> list[type[Section]]:
    method_ids()
    found, pending = [], [Section]
    while pending:
        cls = pending.pop()
        found.append(cls)
        pending.extend(cls.__subclasses__())
    return [cls for cls in found if cls.__module__.startswith("moco.")]


def small_study(**changes: Any) -> Study:
    content = {
        "study": "s",
        "seeds": [1, 2],
        "models": {
            "add": {"kind": "zoo", "engine": {"dtype": "float32"}},
            "recall": {"kind": "zoo"},
            "far": {"kind": "hub", "repo": "o/n", "revision": "c" * 40, "family": "llama", "tokenizer": "t"},
            "encoder": {"kind": "zoo"},
        },
        "tasks": {
            "t": {"source": {"kind": "synthetic", "skills": ["add"]}},
            "q": {"source": {"kind": "synthetic", "skills": ["add"], "form": "choice"}},
        },
        "pools": {"pair": ["add", "recall"], "more": ["add", "recall", "far"]},
        "methods": all_methods("add"),
        **changes,
    }
    return study_from(content, "s.yaml")


def job_slices(plan: Plan) -> dict[str, Any]:
    """Return what the study says of every kind of job, by rule and wildcards."""
    matrix, seed = plan.matrix, 1
    jobs: list[tuple[str, dict[str, Any]]] = [("prepare", {"task": task}) for task in matrix.tasks]
    jobs += [("resolve", {"model": name}) for name in [*matrix.models, *matrix.made]]
    jobs += [("zoo", {"model": name}) for name in matrix.models if plan.study.models[name].kind == "zoo"]
    jobs += [("merge", {"model": name}) for name in matrix.made]
    for model, batch in matrix.singles:
        where = {"model": model, "batch": batch, "split": "test"}
        plain = paths.generation(model, batch, "test", seed, "s0").removesuffix(".parquet")
        jobs += [("generate", where), ("response_logits", where), ("logits", {**where, "kind": "options"})]
        jobs.append(("score", {"scorer": "strict", "replies": plain}))
    for cell in matrix.cells:
        where = {"pool": cell.pool, "batch": cell.batch, "method": cell.variant, "seed": seed}
        answers = paths.answers(*where.values(), "test").removesuffix(".parquet")
        jobs += [("fit", where)] if matrix.needs(cell.pool, cell.variant).fit else []
        jobs += [("answer", {**where, "split": "test"}), ("score", {"scorer": "strict", "replies": answers})]
    jobs += [("collect", {"part": "benchmark"}), ("tabulate", {"table": "moco_main"}), ("report", {})]
    return {f"{rule} {names}": getattr(plan, rule).slice(SimpleNamespace(**names)) for rule, names in jobs}


def test_every_setting_of_the_project_is_classified_and_documented():
    found = sections()
    assert {"Study", "Decoding", "EngineSettings", "ZooModel", "MethodParams"} <= {cls.__name__ for cls in found}
    assert len([cls for cls in found if cls.__module__.startswith("moco.methods.")]) >= 3
    for cls in found:
        for name, field in cls.model_fields.items():
            extra = field.json_schema_extra
            assert isinstance(extra, dict), f"{cls.__name__}.{name} is unclassified"
            assert extra.get("role") in ("identity", "numerics", "runtime"), f"{cls.__name__}.{name} is unclassified"
            assert (field.description or "").strip().endswith("."), f"{cls.__name__}.{name} has no sentence"


def test_every_method_declares_its_settings_as_a_section():
    from moco.methods.catalogue import method_class

    for id in method_ids():
        assert issubclass(method_class(id).Params, Section), id


def test_every_pydantic_model_of_the_configuration_is_a_section():
    pending, plain = [BaseModel], []
    sections()
    while pending:
        cls = pending.pop()
        pending.extend(cls.__subclasses__())
        if cls.__module__.startswith("moco.") and not issubclass(cls, Section):
            plain.append(cls.__name__)
    assert plain == []


def test_an_unclassified_field_is_refused_when_its_class_is_defined():
    with pytest.raises(TypeError, match=r"Bad\.width is neither identity, numerics nor runtime"):

        class Bad(Section):
            width: int = 1


def test_an_undocumented_field_is_refused_when_its_class_is_defined():
    with pytest.raises(TypeError, match=r"Bare\.width has no description"):

        class Bare(Section):
            width: int = identity("", 1)


def test_a_slice_holds_identity_only_at_every_depth():
    class Inner(Section):
        a: int = identity("A.", 1)
        b: int = numerics("B.", 2)
        c: int = runtime("C.", 3)

    class Outer(Section):
        one: Inner = identity("One.", factory=Inner)
        many: tuple[Inner, ...] = identity("Many.", factory=lambda: (Inner(),))
        named: dict[str, Inner] = identity("Named.", factory=lambda: {"x": Inner()})
        place: Literal["r"] = runtime("Place.", "r")

    outer = Outer()
    assert outer.slice() == {"one": {"a": 1}, "many": [{"a": 1}], "named": {"x": {"a": 1}}}
    assert Outer(many=()).slice("runtime", "numerics") == {"one": {"b": 2, "c": 3}, "place": "r"}


def test_runtime_and_numerics_never_enter_the_identity_of_an_engine():
    usual = EngineSettings()
    other_values = {
        "device": "cpu",
        "reproducible": "batch",
        "compile": True,
        "gpu_share": 0.5,
        "python": "/x/python",
    }
    for name in EngineSettings.model_fields:
        if EngineSettings.role(name) == "identity":
            continue
        changed = other_values.get(name, 7)
        other = EngineSettings.model_validate({name: changed})
        assert other.key() == usual.key()
        assert other.slice("runtime", "numerics") != usual.slice("runtime", "numerics")
    assert set(usual.key()) == {"kind", "dtype", "trust_remote_code", "attention"}


RUNTIME = {
    "engine": {"batch_rows": 3, "batch_tokens": 99, "device": "cpu", "resident_gb": 1, "flush_seconds": 2},
    "failures": "record",
    "retries": 2,
    "site": {"gpu_model": "a100"},
    "scoring": {"code": {"allow": True, "workers": 4}},
}


@pytest.mark.parametrize("key", RUNTIME)
def test_a_runtime_setting_changes_no_slice_and_no_plan(key):
    usual, changed = small_study(), small_study(**{key: RUNTIME[key]})
    assert usual != changed
    assert usual.slice() == changed.slice()
    slices = job_slices(Plan(usual))
    assert len(slices) > 30
    assert slices == job_slices(Plan(changed))


def test_runtime_settings_of_a_single_model_change_no_plan():
    usual = small_study().model_dump(exclude_unset=True)["models"]
    changed = {
        "add": {**usual["add"], "engine": {"dtype": "float32", "batch_rows": 1}, "gpus": 2},
        "recall": {**usual["recall"], "engine": {"batch_rows": 1}},
        "far": usual["far"],
        "encoder": usual["encoder"],
    }
    assert job_slices(Plan(small_study())) == job_slices(Plan(small_study(models=changed)))


def test_use_of_gpus_changes_no_slice_of_a_job():
    assert job_slices(Plan(small_study(site={"use_gpu": True}))) == job_slices(Plan(small_study()))


def test_identity_settings_do_change_plans():
    usual = job_slices(Plan(small_study()))
    changed = job_slices(Plan(small_study(decoding={"default": {"max_new_tokens": 9}})))
    differing = {name.split()[0] for name, found in changed.items() if usual[name] != found}
    assert {"generate", "response_logits", "fit", "answer"} <= differing
    assert not differing & {"zoo", "prepare", "resolve", "merge", "logits"}


def test_unknown_keys_are_reported_with_a_suggestion_and_with_all_other_mistakes():
    with pytest.raises(ValidationError) as caught:
        Decoding.model_validate({"temprature": 1, "max_new_token": 2, "top_p": 7})
    found = {entry["msg"] for entry in caught.value.errors()}
    assert "unknown key 'temprature'; did you mean temperature?" in found
    assert "unknown key 'max_new_token'; did you mean max_new_tokens?" in found
    assert any("less than or equal to 1" in message for message in found)


def test_sections_cannot_be_changed():
    with pytest.raises(ValidationError):
        Decoding().temperature = 1.0


def test_greedy_decoding_ignores_settings_without_effect():
    one = Decoding(temperature=0, top_p=0.5, top_k=3)
    other = Decoding(temperature=0, top_p=1, top_k=0)
    assert one.key() == other.key() == {"max_new_tokens": 512, "repetition_penalty": 1.0}
    assert set(Decoding().key()) == set(Decoding.model_fields)
