"""A model's tokenizer, without torch where its class is known before its network's."""

from pathlib import Path
from typing import Any

from moco.models.vocabulary import FAST
from moco.records import read_json

_GENERIC = ("TokenizersBackend", "PreTrainedTokenizerFast")
_NETWORKS = ("llama", "gpt_neox", "distilbert")
"""Types of networks that keep a generic tokenizer: some others take a class of their own in its place."""


def load_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """Return the tokenizer that `AutoTokenizer` finds in a folder.

    `AutoTokenizer` imports torch to read the network's configuration, of which a tokenizer of the generic class has no
    need.
    """
    if _is_generic(folder):
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(folder)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


def _is_generic(folder: Path) -> bool:
    named, network = folder / "tokenizer_config.json", folder / "config.json"
    if not ((folder / FAST).is_file() and named.is_file() and network.is_file()):
        return False
    settings = dict(read_json(named))
    generic = settings.get("tokenizer_class") in _GENERIC and "auto_map" not in settings
    return generic and dict(read_json(network)).get("model_type") in _NETWORKS
