import hashlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from moco.prompts import blocks
from moco.zoo.tokenizer import ASSISTANT, END, PAD, USER, save_tokenizer, train_tokenizer

TOKENIZER = train_tokenizer(768, 4096)


@given(st.text())
def test_any_text_round_trips(text):
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text


@given(st.text(alphabet=st.sampled_from("09aZ \n.'\\{}é漢😀")))
def test_awkward_text_round_trips(text):
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text


def test_digits_and_letters_of_strings_stay_single():
    assert TOKENIZER.tokenize("1234") == list("1234")
    assert TOKENIZER.tokenize("XFKR") == list("XFKR")
    assert TOKENIZER.tokenize("Which")[0] == "Which"


def test_fixed_sentences_and_option_marks_are_single_pieces():
    for task_type in ("exact_match", "multiple_choice"):
        assert len(TOKENIZER.tokenize(blocks.answer_format(task_type))) == 1
    assert TOKENIZER.tokenize("\nB) 17") == ["\nB) ", "1", "7"]
    assert TOKENIZER.tokenize("\n2) 1")[0] == "\n2) "


def test_the_other_tokenizer_writes_the_same_text_in_more_pieces():
    other = train_tokenizer(384, 4096)
    text = "Which city is the capital of Kardia?"
    assert len(other.tokenize(text)) > len(TOKENIZER.tokenize(text))
    assert other.decode(other(text)["input_ids"]) == text


def test_saved_tokenizer_is_loadable(tmp_path):
    save_tokenizer(TOKENIZER, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert len(loaded) == 768
    assert (loaded.eos_token, loaded.pad_token, loaded.model_max_length) == (END, PAD, 4096)
    text = "What is 12 + 7?\n[answer 1]"
    assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert loaded.decode(loaded(text)["input_ids"]) == text
    assert loaded.chat_template == TOKENIZER.chat_template


def test_chat_template_renders_turns():
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    text = TOKENIZER.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == f"{USER}a{END}{ASSISTANT}b{END}{USER}c{END}{ASSISTANT}"
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 10
    assert ids[-1] == TOKENIZER.convert_tokens_to_ids(ASSISTANT)
    assert TOKENIZER.decode(ids, skip_special_tokens=True) == "abc"


@pytest.mark.slow
def test_training_gives_the_same_bytes_in_another_process():
    code = (
        "import hashlib; from moco.zoo.tokenizer import train_tokenizer as t;"
        "print(hashlib.sha256(t(768, 4096).backend_tokenizer.to_str().encode()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(TOKENIZER.backend_tokenizer.to_str().encode()).hexdigest()
