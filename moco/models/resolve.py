"""From a declared model to a real one: find the files, fingerprint them, compare with what was declared."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from moco.config.engine import EngineSettings
from moco.config.expand import cache_root, expand
from moco.config.models import (
    TEMPLATE_DATE,
    AdapterModel,
    HubModel,
    LocalModel,
    ModelEntry,
    ServerModel,
    ZooModel,
)
from moco.digest import digest
from moco.errors import RequestError, WorkError
from moco.models.context import Context, context_of
from moco.models.fingerprint import adapter_digest, checkpoint_digest
from moco.models.gguf import checkpoint_of, is_gguf
from moco.models.info import ModelInfo, relative_location
from moco.models.recipes import Recipe
from moco.models.vocabulary import has_tokenizer, tokenizer_digest
from moco.models.weights import count_parameters, embeddings, equal_content, output_layer, parameters_of
from moco.records import read_json

log = logging.getLogger("moco")

_COPIES = re.compile(r"\.(base_layer|modules_to_save|original_module)(?=\.)")


def hub_folder(repo: str, revision: str | None, where: str) -> Path:
    """Return the local folder of a hub snapshot, downloading it when it is not cached.

    Raises:
        RequestError: The revision is not pinned, or not known to the hub.
        WorkError: The hub cannot be reached and the snapshot is not cached.
    """
    if revision is None:
        raise RequestError("revision is not pinned", where=where, remedy="write the commit as `revision`")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    wanted = ["*.safetensors", "*.json", "*.jinja", "*.model", "*.txt", "*.py"]
    copies = ["consolidated*", "original/*"]  # of the weights, in layouts that transformers does not load
    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=wanted, ignore_patterns=copies))
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise RequestError(
            f"{repo}@{revision} does not exist ({type(error).__name__})", where=where, remedy="check repo and revision"
        ) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise WorkError(
            f"{repo}@{revision} is neither cached nor reachable ({type(error).__name__})",
            where=where,
            remedy="download it on a machine with a network, with the same HF_HOME",
        ) from None


def _read_config(folder: Path, name: str, where: str) -> dict[str, Any]:
    path = folder / name
    if not path.is_file():
        raise RequestError(
            f"{path} is missing", where=where, remedy="give the folder of a checkpoint in the transformers layout"
        )
    return dict(read_json(path))


def _prompt_mode(*folders: Path) -> str:
    for folder in folders:
        if (folder / "chat_template.jinja").is_file():
            return "chat"
        path = folder / "tokenizer_config.json"
        if path.is_file() and read_json(path).get("chat_template"):
            return "chat"
    return "raw"


def _compare(declared: ModelEntry, info: ModelInfo, known: Context, where: str) -> None:
    def differs(key: str, said: Any, found: Any) -> None:
        raise RequestError(
            f"{key} is declared as {said}, the model has {found}",
            where=f"{where}.{key}",
            remedy="correct the declaration",
        )

    if declared.family and declared.family != info.family:
        differs("family", declared.family, info.family)
    if declared.parameters and info.parameters and abs(declared.parameters - info.parameters) > 0.1 * info.parameters:
        differs("parameters", f"{declared.parameters:.4g}", f"{info.parameters:.4g}")
    if declared.context and declared.context > known.tokens and known.source != "assumed":
        differs("context", declared.context, known.tokens)


def resolve(
    name: str,
    entry: ModelEntry,
    engine: EngineSettings,
    root: Path,
    *,
    checkpoint: Path | None = None,
    base: ModelInfo | None = None,
    template_date: str = TEMPLATE_DATE,
) -> ModelInfo:
    """Return the resolved model.

    Args:
        name: In the study.
        entry: Its declaration.
        engine: Its engine.
        root: Folder that holds `results`.
        checkpoint: Weights made by a rule, for a zoo model.
        base: The resolved base, for an adapter, also one of the zoo.
        template_date: Day that its chat template takes for today, as YYYY-MM-DD.

    Raises:
        MocoError: Files are missing, or the model is not what was declared.
    """
    if isinstance(entry, ServerModel):
        return describe_served(name, entry)
    where = f"models.{name}"
    folder = _folder(entry, checkpoint, where)
    settings: dict[str, Any] = {"engine": engine.key(), "trust_remote_code": engine.trust_remote_code}
    settings |= {"capabilities": tuple(sorted(_capabilities(name, entry))), "template_date": template_date}
    if base is not None:
        info = _adapter(name, folder, base, root, settings, where)
    elif isinstance(entry, AdapterModel):
        raise RequestError(f"base {entry.base!r} is not resolved", where=where, remedy="resolve it first")
    else:
        info = describe(name, entry.kind, folder, root, settings, where=where)
    full = info.base_folder(root)
    known = context_of(full, _read_config(full, "config.json", where))
    _compare(entry, info, known, where)
    if entry.context:
        return replace(info, context=entry.context, context_source="declared")
    if info.context_source == "assumed":
        what = "%s: neither its configuration nor its tokenizer states a context; %d tokens are assumed"
        log.warning(what + "; declare `context`", where, info.context)
    return info


def _capabilities(name: str, entry: ModelEntry) -> frozenset[str]:
    if not isinstance(entry, ZooModel):
        return entry.capabilities
    from moco.zoo.roster import lookup

    return lookup(entry.recipe or name).capabilities


def _folder(entry: ModelEntry, checkpoint: Path | None, where: str) -> Path:
    finders: dict[type, Callable[[Any], Path]] = {
        HubModel: lambda model: hub_folder(model.repo, model.revision, where),
        LocalModel: lambda model: _local(expand(model.path), where),
        AdapterModel: lambda model: (
            expand(model.path) if model.path else hub_folder(model.repo or "", model.revision, where)
        ),
        ZooModel: lambda _model: checkpoint or Path(),
    }
    folder = finders[type(entry)](entry)
    if not folder.is_dir():
        raise RequestError(f"folder {folder} does not exist", where=where, remedy="correct the path")
    return folder


def _local(path: Path, where: str) -> Path:
    return checkpoint_of(path, cache_root(), where) if is_gguf(path) else path


def describe(
    name: str,
    kind: str,
    folder: Path,
    root: Path,
    settings: Mapping[str, Any],
    *,
    where: str = "",
    parents: tuple[Mapping[str, str], ...] = (),
    recipe: Mapping[str, Any] | None = None,
) -> ModelInfo:
    """Return the description of a full checkpoint, read from its files.

    Raises:
        MocoError: Files are missing or damaged.
    """
    config = _read_config(folder, "config.json", where)
    context = context_of(folder, config)
    return ModelInfo(
        name=name,
        kind=kind,
        location=relative_location(folder, root),
        fingerprint=checkpoint_digest(folder),
        family=str(config.get("model_type", "unknown")),
        tokenizer=tokenizer_digest(folder),
        parameters=count_parameters(folder),
        prompt_mode=_prompt_mode(folder),
        parents=parents,
        recipe=recipe,
        **{"context": context.tokens, "context_source": context.source, **settings},
    )


_ASKED = ("endpoint", "name", "date", "reported", "api", "logprobs", "send_seed", "limit_field", "extra")
"""What tells a served model from others: where it is, and how it is asked."""


def describe_served(name: str, entry: ServerModel) -> ModelInfo:
    """Return the description of a served model, as declared; its endpoint is not asked."""
    declared = entry.slice()
    asked = {key: declared[key] for key in _ASKED} | {"endpoint": entry.endpoint.rstrip("/")}
    return ModelInfo(
        name=name,
        kind=entry.kind,
        location="",
        fingerprint=digest("server", asked),
        family=entry.family or "unknown",
        tokenizer="",
        parameters=None if entry.parameters is None else int(entry.parameters),
        context=entry.context or 0,
        prompt_mode="chat" if entry.api == "chat" else "raw",
        capabilities=tuple(sorted(entry.capabilities)),
        server=asked,
    )


def describe_merge(name: str, recipe: Recipe, models: Sequence[ModelInfo], folder: Path, root: Path) -> ModelInfo:
    """Return the description of a merge whose checkpoint exists.

    Args:
        name: Of the merge.
        recipe: How it was made.
        models: Where the recipe's sources are looked up, by fingerprint.
        folder: Its checkpoint.
        root: Folder that holds `results`.

    Raises:
        MocoError: A source is unknown, or files are missing or damaged.
    """
    sources = [find_source(fingerprint, models, name) for fingerprint in recipe.sources]
    first = sources[0]
    parents = tuple({"name": info.name, "fingerprint": info.fingerprint} for info in sources)
    if recipe.is_its_input and first.base is not None:
        location = relative_location(folder, root)
        return replace(first, name=name, kind="merge", location=location, parents=parents, recipe=recipe.as_json())
    if (folder / "adapter_config.json").is_file() and first.base is not None:
        of_base = count_parameters(first.base_folder(root))
        return replace(
            first,
            name=name,
            kind="merge",
            location=relative_location(folder, root),
            fingerprint=adapter_digest(first.base["fingerprint"], folder),
            parameters=of_base + _added_parameters(folder, first.base_folder(root)),
            parents=parents,
            recipe=recipe.as_json(),
        )
    return describe(name, "merge", folder, root, _inherited(first), parents=parents, recipe=recipe.as_json())


def describe_student(name: str, parent: ModelInfo, folder: Path, root: Path) -> ModelInfo:
    """Return the description of a model that was trained further; arguments as for `describe_merge`.

    Engine, context and template date are the parent's. A new adapter rests on the parent, one that was trained further
    on the base that it has.
    """
    settings = _inherited(parent)
    parents = ({"name": parent.name, "fingerprint": parent.fingerprint},)
    if (folder / "adapter_config.json").is_file():
        del settings["context"], settings["context_source"]
        base = parent if parent.base is None else _base_of(parent, root)
        made = _adapter(name, folder, base, root, settings, f"models.{name}")
        return replace(made, kind="student", parents=parents)
    return describe(name, "student", folder, root, settings, parents=parents)


def _base_of(adapter: ModelInfo, root: Path) -> ModelInfo:
    """Return the description of the model that an adapter rests on."""
    assert adapter.base is not None
    size = count_parameters(adapter.base_folder(root))
    return replace(adapter, **adapter.base, base=None, parameters=size)


def _inherited(first: ModelInfo) -> dict[str, Any]:
    """Return what a made model has from the model that it is made of, or from the first of them."""
    return {
        "engine": dict(first.engine),
        "trust_remote_code": first.trust_remote_code,
        "context": first.context,
        "context_source": first.context_source,
        "template_date": first.template_date,
    }


def find_source(fingerprint: str, models: Sequence[ModelInfo], merge: str) -> ModelInfo:
    """Return the model with a fingerprint.

    Raises:
        WorkError: None of `models` has it.
    """
    for info in models:
        if info.fingerprint == fingerprint:
            return info
    raise WorkError(
        f"no model has the fingerprint {fingerprint[:16]}", where=f"recipe of {merge}", remedy="run its fit again"
    )


def _adapter(
    name: str, folder: Path, base: ModelInfo, root: Path, settings: Mapping[str, Any], where: str
) -> ModelInfo:
    config = _read_config(folder, "adapter_config.json", where)
    if config.get("peft_type") != "LORA":
        raise RequestError(
            f"adapter type {config.get('peft_type')} is not supported", where=where, remedy="use a LoRA adapter"
        )
    own_tokenizer = has_tokenizer(folder)
    return ModelInfo(
        name=name,
        kind="adapter",
        location=relative_location(folder, root),
        fingerprint=adapter_digest(base.fingerprint, folder),
        family=base.family,
        tokenizer=tokenizer_digest(folder) if own_tokenizer else base.tokenizer,
        parameters=(base.parameters or 0) + _added_parameters(folder, base.folder(root)),
        context=base.context,
        context_source=base.context_source,
        prompt_mode=_prompt_mode(folder) if own_tokenizer else base.prompt_mode,
        base={"name": base.name, "location": base.location, "fingerprint": base.fingerprint},
        parents=({"name": base.name, "fingerprint": base.fingerprint},),
        **settings,
    )


def _added_parameters(adapter: Path, base: Path) -> int:
    """Return how many parameters an adapter adds to its base; a layer that it replaces counts by the difference."""
    of_base = parameters_of(base)
    # PEFT may write a layer that it trained whole several times, under names of its own.
    mine = {
        _COPIES.sub("", name.removeprefix("base_model.model.")): one for name, one in parameters_of(adapter).items()
    }
    head, first = output_layer(mine), embeddings(mine)
    if head and first and head not in of_base and equal_content(mine[head], mine[first]):
        del mine[head]
    return sum(one.size - (of_base[name].size if name in of_base else 0) for name, one in mine.items())
