"""Knowledge card: who writes knowledge, what both prompts show, what pools share, and passages that are cut or empty."""

import pytest
from support.contexts import World
from support.engines import Engine
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.config.decoding import Decoding
from moco.engines.responses import Response
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.text.knowledge_card import informed_prompt, whole_sentences
from moco.prompts import blocks

ID = "text_knowledge_card"
MODELS = ("a", "b", "c")


def telling(model, prompt, sample):
    return f"{model}{sample} answers" if shown(prompt) else f"{model}{sample} knows"


def run(models=MODELS, replies=telling, **params):
    settings = {name: params.pop(name) for name in ("items", "kind", "member", "decoding") if name in params}
    return answered(ID, params, models=models, replies=replies, **settings)


def test_all_members_write_and_the_best_on_dev_answers_with_their_passages_in_pool_order():
    answers, engine, ctx = run(member=1)
    assert [{(asked.purpose, asked.model) for asked in one} for one in engine.rounds] == [
        {("knowledge", model) for model in MODELS},
        {("answer", "b")},
    ]
    for asked in by_purpose(engine, "answer"):
        assert shown(asked.prompt) == [(f"knowledge {place}", f"{m}0 knows") for place, m in enumerate(MODELS, 1)]
    assert [(answer.text, answer.models, answer.fallback) for answer in answers] == [("b0 answers", ("b",), None)] * 3
    assert engine.reads == []  # no plain response
    assert {call["kind"] for call in ctx.calls} == {"own"}


@pytest.mark.parametrize(("models", "member"), [(MODELS, 1), (("b", "b", "a"), 0)])
def test_who_answers_is_never_asked_for_knowledge_where_it_is_excluded(models, member):
    answers, engine, ctx = run(models=models, member=member, exclude_self=True, items=2)
    asked = by_purpose(engine, "knowledge")
    voices = [f"{place.model}{place.copy}" for place in ctx.pool if place.index != member]
    assert [f"{one.model}{one.sample}" for one in asked] == voices * 2
    for one in by_purpose(engine, "answer"):
        assert [text for _, text in shown(one.prompt)] == [f"{voice} knows" for voice in voices]
    assert answers[0].record["passages"] == [f"{voice} knows" for voice in voices]


def test_a_pool_of_one_must_not_exclude_itself():
    assert make_method(ID, {"exclude_self": True}).needs(PoolInfo.of_size(1)).min_models == 2
    assert make_method(ID, {}).needs(PoolInfo.of_size(1)).min_models == 1
    assert len(run(models=("a",))[1].requests) == 6


def test_a_smaller_pool_reuses_all_passages_whoever_answers():
    whole = run(member=1)[1]
    fewer = Engine(telling, finished=whole.finished)
    run(models=("a", "b"), member=1, replies=fewer)
    assert {asked.purpose for asked in fewer.generated} == {"answer"}
    other = Engine(telling, finished=whole.finished)
    run(member=0, replies=other)
    assert {asked.purpose for asked in other.generated} == {"answer"}


@pytest.mark.parametrize("see", ["question", "task"])
@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_all_members_read_one_prompt_about_the_question_that_asks_for_no_answer(kind, see):
    _, engine, ctx = run(kind=kind, see=see, items=4)
    for item in ctx.questions:
        (prompt,) = {asked.prompt for asked in by_purpose(engine, "knowledge") if asked.uid == item.uid}
        assert blocks.question(item) in prompt
        assert "helps somebody else to answer" in prompt
        assert (blocks.answer_format(kind) in prompt) == (see == "task")
        assert (blocks.task_prompt(item) in prompt) == (see == "task")
        assert ("do not answer" in prompt) == (see == "question")
        assert prompt.endswith("\n\nKnowledge:")


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_the_answer_is_asked_for_with_the_question_once_and_its_format_last(kind):
    _, engine, ctx = run(kind=kind)
    items = {item.uid: item for item in ctx.questions}
    for asked in by_purpose(engine, "answer"):
        assert asked.prompt.count(blocks.question(items[asked.uid])) == 1
        assert asked.prompt.endswith(blocks.answer_format(kind))
        assert "may be wrong" in asked.prompt


def test_passages_of_several_lines_stay_in_their_blocks():
    passages = ["- one\n- two\n\n[end of thought]", "three"]
    prompt = informed_prompt(questions(1)[0], passages)
    assert shown(prompt) == [("knowledge 1", passages[0]), ("knowledge 2", "three")]


def test_empty_passages_leave_a_prompt_that_is_asked_and_are_counted():
    def silent(_model, prompt, _sample):
        return "\\box{1}" if "[knowledge 1]" in prompt else ""

    answers, engine, _ = run(replies=silent)
    assert len(by_purpose(engine, "answer")) == 3
    for asked in by_purpose(engine, "answer"):
        assert [title for title, _ in shown(asked.prompt)] == ["knowledge 1", "knowledge 2", "knowledge 3"]
    assert [(answer.text, answer.fallback) for answer in answers] == [("\\box{1}", "no knowledge was written")] * 3


def test_passages_have_a_limit_of_their_own_where_one_is_given():
    _, engine, _ = run(passage_tokens=7, decoding=Decoding(max_new_tokens=16, temperature=0.3))
    assert {
        (asked.purpose, asked.decoding.max_new_tokens, asked.decoding.temperature) for asked in engine.requests
    } == {
        ("knowledge", 7, 0.3),
        ("answer", 16, 0.3),
    }


@pytest.mark.parametrize(
    ("text", "finish", "kept"),
    [
        ("Iron rusts. It takes 3.5 ye", "length", "Iron rusts."),
        ("Iron rusts. It takes time", "stop", "Iron rusts. It takes time"),
        ("Does it? Yes!\nIt is", "length", "Does it? Yes!"),
        ("a list without an end 3.5", "length", "a list without an end 3.5"),
        ("It does.", "length", "It does."),
    ],
)
def test_a_passage_that_was_cut_is_shown_up_to_its_last_whole_sentence(text, finish, kept):
    assert whole_sentences(Response(text, finish=finish)) == kept


def test_what_was_cut_is_remembered_whole():
    class Cutting(Engine):
        def response(self, model, prompt, sample, uid):
            made = super().response(model, prompt, sample, uid)
            return Response(made.text, key=made.key, finish="length" if model == "a" else "stop")

    engine = Cutting(lambda model, prompt, _: "\\box{1}" if shown(prompt) else f"Known to {model}. And mo")
    answers, engine, _ = run(models=("a", "b"), items=1, replies=engine)
    assert answers[0].record == {
        "member": 0,
        "passages": ["Known to a. And mo", "Known to b. And mo"],
        "cut": [True, False],
    }
    (asked,) = by_purpose(engine, "answer")
    assert [text for _, text in shown(asked.prompt)] == ["Known to a.", "Known to b. And mo"]


def test_the_best_on_dev_answers_and_the_first_of_equals():
    method = make_method(ID, {})
    assert World(MODELS, dev_scores={"a": 0.2, "b": 0.7, "c": 0.7}).fit(method).data["member"] == 1
