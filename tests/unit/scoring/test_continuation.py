"""Replies of base models that go on with questions of their own."""

import pytest

from moco.scoring.continuation import before_next_question


@pytest.mark.parametrize(
    "rest",
    [
        "\n\nQ: What is 2+2?\nA: 4",
        "\nQuestion 2: What is 2+2?",
        "\n\n**Question:** What is 2+2?",
        "\n\n### Instruction:\nAdd.",
        "\n\nHuman: and now?",
        "\n\n问题：2+2?",
        " Question: What is 2+2? Answer: 4",
        "<|endoftext|>More text.",
        "</s>[INST] Add. [/INST]",
    ],
)
def test_a_reply_ends_where_it_asks_something_else(rest):
    assert before_next_question(f"The answer is 7.{rest}").strip() == "The answer is 7."


@pytest.mark.parametrize(
    "reply",
    [
        "Q: What is 2+2?\nA: 4\nQ: Sure?\nA: 5",
        "Let me restate the problem.\n\nQuestion: What is 2+2?\nAnswer: 4",
        "Here is what is asked:\nQ: What is 2+2?\nA: 4",
        "Questions of this kind are hard.\nThe question is what 2+2 is.\nAnswer: 4",
        "The answer is 4.",
    ],
)
def test_a_reply_that_repeats_its_question_is_read_to_its_end(reply):
    assert before_next_question(reply) == reply
