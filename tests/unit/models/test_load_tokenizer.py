"""Tokenizers that are loaded without torch are those that `AutoTokenizer` finds."""

import json
import subprocess
import sys

import pytest

from moco.models.tokenizer import load_tokenizer

TEXTS = ("", "What is 12 + 30?", "  two  spaces\n\n", "<|user|>é — 日本語<|end|>", "a" * 300)


@pytest.fixture(scope="module", params=["llama", "gpt_neox", "distilbert"])
def saved(request, tmp_path_factory):
    """Return a folder with a tokenizer and the configuration of a network, as transformers saves them."""
    from transformers import DistilBertConfig, GPTNeoXConfig, LlamaConfig

    from moco.zoo.tokenizer import save_tokenizer, train_tokenizer

    folder = tmp_path_factory.mktemp(request.param)
    save_tokenizer(train_tokenizer(300, 128), folder)
    {"llama": LlamaConfig, "gpt_neox": GPTNeoXConfig, "distilbert": DistilBertConfig}[request.param]().save_pretrained(
        folder
    )
    return folder


def test_a_generic_tokenizer_is_that_of_auto_tokenizer(saved):
    from transformers import AutoTokenizer

    ours, theirs = load_tokenizer(saved), AutoTokenizer.from_pretrained(saved)
    assert type(ours) is type(theirs)
    assert [dict(ours(text)) for text in TEXTS] == [dict(theirs(text)) for text in TEXTS]
    assert [ours(text, add_special_tokens=False)["input_ids"] for text in TEXTS] == [
        theirs(text, add_special_tokens=False)["input_ids"] for text in TEXTS
    ]
    turns = [{"role": "user", "content": TEXTS[1]}]
    assert ours.apply_chat_template(turns, tokenize=False) == theirs.apply_chat_template(turns, tokenize=False)
    for name in ("eos_token_id", "sep_token_id", "bos_token_id", "pad_token_id", "model_max_length", "padding_side"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.all_special_ids == theirs.all_special_ids


def test_a_generic_tokenizer_needs_no_torch(saved):
    code = (
        "import sys\nfrom pathlib import Path\nfrom moco.models.tokenizer import load_tokenizer\n"
        "found = load_tokenizer(Path(sys.argv[1]))\n"
        "print(found.apply_chat_template([{'role': 'user', 'content': 'a'}], tokenize=False), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("tokenizer_config.json", {"tokenizer_class": "Qwen2Tokenizer"}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": [None, "own.Tokenizer"]}}),
        ("config.json", {"model_type": "qwen2"}),
    ],
)
def test_all_others_are_left_to_auto_tokenizer(saved, tmp_path, file, change, monkeypatch):
    """Some networks take a class of their own in place of the generic one, which cuts texts in another way."""
    import transformers

    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / file).write_text(json.dumps({**json.loads((tmp_path / file).read_text()), **change}))
    asked = []
    monkeypatch.setattr(
        transformers.AutoTokenizer, "from_pretrained", lambda folder, **named: asked.append((folder, named))
    )
    load_tokenizer(tmp_path, trust_remote_code=True)
    assert asked == [(tmp_path, {"trust_remote_code": True})]
