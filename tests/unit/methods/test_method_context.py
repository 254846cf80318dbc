from collections import Counter
from dataclasses import replace

import pytest
from support.contexts import answer_context, fit_context
from support.engines import Engine, ScriptedError, fingerprint
from support.items import questions, references, right_reply, wrong_reply

from moco.config.decoding import Decoding
from moco.errors import RequestError
from moco.methods.base import FitNeeds, Helper, Needs, Request, pool_members
from moco.methods.context import AnswerContext, FitContext
from moco.models.recipes import Recipe
from moco.seeds import generator


def naming(model, _prompt, sample):
    return f"{model}{sample}"


def context(models=("a", "a", "b"), replies=naming, **settings):
    return answer_context(models=models, questions=questions(2), replies=replies, **settings)


@pytest.mark.parametrize(
    ("models", "samples"),
    [
        (["a", "b"], [[0, 1, 2], [0, 1, 2]]),
        (["a", "a", "b"], [[0, 2, 4], [1, 3, 5], [0, 1, 2]]),
        (["a", "b", "a", "a"], [[0, 3, 6], [0, 1, 2], [1, 4, 7], [2, 5, 8]]),
    ],
)
def test_sample_j_of_copy_c_of_n_is_stored_under_j_times_n_plus_c(models, samples):
    ctx = context(models)
    plain = [[ctx.plain(member.index, sample)["t-test-0"].text for sample in range(3)] for member in ctx.pool]
    assert plain == [[f"{models[index]}{sample}" for sample in expected] for index, expected in enumerate(samples)]
    requests = [Request(index, "t-test-0", "p", "ask", sample) for index in range(len(models)) for sample in range(3)]
    own = [response.text for response in ctx.generate(requests)]
    assert own == [text for texts in plain for text in texts]


def test_members_are_numbered_with_their_copies_descriptions_and_sizes():
    texts, sizes = ["first", "second", "third"], {"a": 5.0, "b": None}
    members = pool_members(
        ["a", "b", "a"], lambda place, model: {"description": texts[place], "parameters": sizes[model]}
    )
    assert [(m.index, m.model, m.copy, m.copies, m.description, m.parameters) for m in members] == [
        (0, "a", 0, 2, "first", 5.0),
        (1, "b", 0, 1, "second", None),
        (2, "a", 1, 2, "third", 5.0),
    ]


def test_a_named_model_keeps_its_sample_index():
    engine = Engine(naming)
    ctx = context(replies=engine, fitted={"soup": Recipe("linear", (fingerprint("b"),), (1.0,))})
    assert ctx.plain("soup")["t-test-0"].text == "b0"
    (reply,) = ctx.generate([Request("soup", "t-test-0", "p", "ask", sample=3)])
    assert reply.text == "b3"
    assert [(call["member"], call["model"]) for call in ctx.calls] == [(-1, "soup"), (-1, "soup")]


def test_requests_have_the_decoding_of_the_task_unless_they_bring_their_own():
    engine = Engine(naming)
    ctx = context(replies=engine, decoding=Decoding(max_new_tokens=7))
    ctx.generate(
        [Request(0, "t-test-0", "p", "ask"), Request(2, "t-test-0", "p", "ask", decoding=Decoding(max_new_tokens=9))]
    )
    assert [asked.decoding.max_new_tokens for asked in engine.requests] == [7, 9]


def test_replies_come_in_the_order_of_requests():
    requests = [Request(index, uid, "p", "ask") for uid in ("t-test-1", "t-test-0") for index in (2, 0, 1)]
    assert [reply.text for reply in context().generate(requests)] == ["b0", "a0", "a1"] * 2


def test_a_round_with_a_reply_too_few_is_an_error():
    ctx = AnswerContext(pool=pool_members(["a"]), questions=questions(1), generate=lambda _requests: [])
    with pytest.raises(ValueError, match="zip"):
        ctx.generate([Request(0, "t-test-0", "p", "ask")])


def test_every_response_that_is_read_is_one_call_of_its_item():
    ctx = context()
    plain = ctx.plain(1)
    assert len(plain) == 2
    assert list(plain) == ["t-test-0", "t-test-1"]
    assert "t-test-0" in plain
    assert "t-test-9" not in plain
    assert ctx.calls == []
    for _ in range(2):
        assert plain["t-test-1"].text == ctx.plain(1)["t-test-1"].text == "a1"
    (call,) = ctx.calls
    assert {name: call[name] for name in ("uid", "call", "kind", "round", "purpose", "member", "model", "sample")} == {
        "uid": "t-test-1",
        "call": 0,
        "kind": "plain",
        "round": -1,
        "purpose": "plain",
        "member": 1,
        "model": "a",
        "sample": 1,
    }
    assert call["prompt"] is None
    assert call["text"] == "a1"


def test_own_calls_are_numbered_by_item_and_by_round():
    ctx = context()
    ctx.plain(0)["t-test-0"]
    ctx.generate([Request(2, "t-test-0", "first", "ask"), Request(2, "t-test-1", "first", "ask")])
    ctx.generate([])
    ctx.generate([Request(1, "t-test-0", "second", "judge", sample=1)])
    assert [
        (c["uid"], c["call"], c["kind"], c["round"], c["purpose"], c["sample"], c["prompt"]) for c in ctx.calls
    ] == [
        ("t-test-0", 0, "plain", -1, "plain", 0, None),
        ("t-test-0", 1, "own", 0, "ask", 0, "first"),
        ("t-test-1", 0, "own", 0, "ask", 0, "first"),
        ("t-test-0", 2, "own", 2, "judge", 3, "second"),
    ]


ANSWER_ACTS = {
    "plain responses": lambda ctx: ctx.plain(0),
    "requests of its own": lambda ctx: ctx.generate([Request(0, "t-test-0", "p", "ask")]),
    "cached logits": lambda ctx: ctx.logits(0, "options"),
    "live models": lambda ctx: ctx.live([0, 1]),
}
FIT_ACTS = ANSWER_ACTS | {
    "references of 'dev'": lambda ctx: ctx.references(),
    "references of 'train'": lambda ctx: ctx.references("train"),
    "dev scores": lambda ctx: ctx.dev_scores(0),
    "merging": lambda ctx: ctx.merge(Recipe("linear", (), ())),
    "a corpus": lambda ctx: ctx.corpus("wiki"),
    "training (sft)": lambda ctx: ctx.train("sft"),
}


@pytest.mark.parametrize(
    ("make", "what"),
    [*((AnswerContext, what) for what in ANSWER_ACTS), *((FitContext, what) for what in FIT_ACTS)],
)
def test_what_is_not_given_is_refused_by_name(make, what):
    ctx = make(pool=pool_members(["a", "b"]), questions=questions(2, split="dev"))
    with pytest.raises(RequestError) as caught:
        FIT_ACTS[what](ctx)
    assert f"uses {what} that its `needs` does not declare" in str(caught.value)
    assert caught.value.exit_code == 2
    assert ctx.calls == []


def test_scoring_and_discarding_need_a_declaration_too():
    ctx = FitContext(pool=pool_members(["a"]), questions=questions(1, split="dev"))
    with pytest.raises(RequestError, match="references of 'dev'"):
        ctx.score({"t-dev-0": "1"})
    with pytest.raises(RequestError, match="merging"):
        ctx.discard("soup")


def test_randomness_is_named_by_seed_method_purpose_and_item():
    def draw(purpose="order", item="q", seed=1, method="text_x"):
        return context(seed=seed, method=method).rng(purpose, item).random(4).tolist()

    assert draw() == generator(1, "text_x", "order", "q").random(4).tolist()
    others = [draw(purpose="tie"), draw(item="r"), draw(seed=2), draw(method="text_y")]
    assert all(other != draw() for other in others)
    ctx = context(method="text_x")
    ctx.rng("tie", "q").random(100)
    assert ctx.rng("order", "q").random(4).tolist() == ctx.rng("order", "q").random(4).tolist() == draw()


def test_answers_are_read_by_the_rules_of_the_scorer():
    (item,) = questions(1, "multiple_choice")
    reply = "I will not say."
    paper = answer_context(models=["a"], questions=[item], scorer="paper").extract(item, "A good question. It is blue")
    strict = answer_context(models=["a"], questions=[item]).extract(item, "A good question. It is blue")
    assert (paper.parsed, strict.parsed) == ("A", "C")
    assert answer_context(models=["a"], questions=[item]).extract(item, reply).parsed is None
    ctx = answer_context(models=["a"], questions=questions(1))
    assert ctx.normal_form(questions(1)[0], "$42$") == ctx.normal_form(questions(1)[0], "42.")


DEV = questions(3, "multiple_choice", split="dev")


def test_a_fit_scores_replies_and_leaves_broken_items_out():
    gold = references(DEV)
    gold["t-dev-2"] = replace(gold["t-dev-2"], valid=False)
    ctx = fit_context(models=["a"], questions=DEV, references=gold)
    replies = {"t-dev-0": right_reply(DEV[0]), "t-dev-1": wrong_reply(DEV[1]), "t-dev-2": right_reply(DEV[2])}
    assert ctx.references_used == set()
    assert ctx.score(replies) == {"t-dev-0": 1.0, "t-dev-1": 0.0}
    assert ctx.references_used == {"dev"}


def test_use_of_references_is_remembered_by_split():
    train = questions(2, "multiple_choice", split="train")
    ctx = fit_context(models=["a"], questions=[*DEV, *train])
    assert set(ctx.references("train")) == {item.uid for item in train}
    assert ctx.references_used == {"train"}
    assert ctx.score({train[0].uid: right_reply(train[0])}) == {train[0].uid: 1.0}
    assert set(ctx.references()) == {item.uid for item in DEV}
    assert ctx.references_used == {"train", "dev"}


def test_copies_have_dev_scores_of_their_own_first_sample():
    engine = Engine(lambda _model, _prompt, sample: "ABC"[sample])
    ctx = fit_context(models=["a", "b", "a"], questions=DEV, replies=engine)
    assert [ctx.dev_scores(index) for index in range(3)] == [
        {"t-dev-0": 1.0, "t-dev-1": 0.0, "t-dev-2": 0.0},
        {"t-dev-0": 1.0, "t-dev-1": 0.0, "t-dev-2": 0.0},
        {"t-dev-0": 0.0, "t-dev-1": 1.0, "t-dev-2": 0.0},
    ]
    assert Counter(engine.reads) == {("dev_scores", "a", 0): 1, ("dev_scores", "a", 1): 1, ("dev_scores", "b", 0): 1}


def test_a_fit_makes_and_deletes_models_of_fingerprints(tmp_path):
    engine = Engine(naming)
    ctx = fit_context(models=["a", "b", "a"], questions=DEV, replies=engine, workdir=tmp_path)
    assert [ctx.fingerprint(index) for index in range(3)] == [fingerprint(name) for name in "aba"]
    name = ctx.merge(Recipe("linear", (ctx.fingerprint(0), ctx.fingerprint(1)), (0.5, 0.5)))
    (reply,) = ctx.generate([Request(name, "t-dev-0", "p", "candidate")])
    assert reply.text == "a+b0"
    ctx.discard(name)
    assert engine.discarded == [name]
    with pytest.raises(LookupError):
        ctx.generate([Request(name, "t-dev-0", "p", "again")])
    assert ctx.workdir == tmp_path


def remembering(workdir, replies, done=()):
    """Work in two parts, of which `done` are remembered, and a rest; return the context and what it learned."""
    ctx = fit_context(models=["a", "b"], questions=DEV, replies=replies, workdir=workdir)

    def part(member):
        if member in done:
            raise AssertionError(f"part {member} is worked out again")
        requests = [Request(member, item.uid, item.prompt, "plain") for item in DEV]
        replies = [*ctx.generate(requests), *ctx.generate(requests[:1])]
        assert ctx.plain(member)["t-dev-0"].text
        return ctx.score({item.uid: reply.text for item, reply in zip(DEV, replies, strict=False)})

    found = [ctx.remembered(f"part-{member}", lambda member=member: part(member)) for member in range(2)]
    assert ctx.plain(0)["t-dev-0"].text
    # Asked for by requests of its own, but not read before.
    assert ctx.plain(0)["t-dev-1"].text
    ctx.generate([Request(1, "t-dev-0", "p", "last")])
    return ctx, found


def test_remembered_work_is_not_done_again_and_costs_what_it_cost(tmp_path):
    whole, expected = remembering(None, naming)
    first, found = remembering(tmp_path, naming)
    again, known = remembering(tmp_path, naming, done=(0, 1))
    assert expected == found == known
    assert whole.calls == first.calls == again.calls
    assert len(whole.calls) == 2 * (len(DEV) + 2) + 2
    assert again.references_used == {"dev"}


def test_of_interrupted_work_only_what_was_finished_is_remembered(tmp_path):
    whole, expected = remembering(None, naming)
    # A part has an access for every item, and one for the plain responses; the second part is broken off.
    with pytest.raises(ScriptedError):
        remembering(tmp_path, Engine(naming, fail_at=len(DEV) + 3))
    resumed, found = remembering(tmp_path, naming, done=(0,))
    assert (resumed.calls, found) == (whole.calls, expected)


def test_a_restricted_context_gives_only_what_is_declared():
    ctx = context(needs=Needs())
    for act in ANSWER_ACTS.values():
        with pytest.raises(RequestError, match="`needs`"):
            act(ctx)
    with pytest.raises(RequestError, match="`needs`"):
        ctx.extract(questions(1)[0], "1")


def test_a_further_model_has_a_fingerprint_only_where_it_is_declared():
    needs = Needs(fit=FitNeeds(), helpers={"base": Helper("base")})
    ctx = fit_context(models=["a", "b"], questions=[], needs=needs)
    assert ctx.fingerprint("base") == fingerprint("base")
    with pytest.raises(RequestError, match="the method uses model other that its `needs` does not declare"):
        ctx.fingerprint("other")
