import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from support.contexts import World, answer_context, fit_context
from support.engines import Engine, ScriptedError, fingerprint
from support.items import questions, references, right_reply, wrong_reply

from moco.config.decoding import Decoding
from moco.decoding.fusion import mean_of_logits
from moco.errors import RequestError, WorkError
from moco.jobs.answer import checked_answers
from moco.methods.base import (
    Answer,
    AnswerNeeds,
    Choice,
    FitNeeds,
    Helper,
    JointRequest,
    Method,
    Needs,
    Request,
    State,
    pool_members,
)
from moco.methods.state import check_json, read_state, write_state
from moco.models.recipes import Recipe
from moco.seeds import generator
from moco.tasks.item import answer_rows


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


def test_sample_s_of_answer_j_of_k_is_stored_under_s_times_k_plus_j():
    items = answer_rows(questions(2), 3)
    assert [(item.uid, item.item, item.answer) for item in items[:4]] == [
        ("t-test-0", "t-test-0", 0),
        ("t-test-0#1", "t-test-0", 1),
        ("t-test-0#2", "t-test-0", 2),
        ("t-test-1", "t-test-1", 0),
    ]
    assert len({item.prompt for item in items}) == 2
    ctx = answer_context(models=["a", "b", "a"], questions=items, replies=naming, answers=3)
    stored = {  # of model "b" (1 copy), and of the second of two copies of "a", for plain samples 0 and 1
        1: [["b0", "b1", "b2"] * 2, ["b3", "b4", "b5"] * 2],
        2: [["a1", "a3", "a5"] * 2, ["a7", "a9", "a11"] * 2],
    }
    uids = [item.uid for item in items]
    for member, expected in stored.items():
        for sample, texts in enumerate(expected):
            assert [reply.text for reply in ctx.plain(member, sample).values()] == texts
            assert list(ctx.plain(member, sample, uids[::-2])) == uids[::-2]
            asked = [Request(member, uid, "p", "ask", sample) for uid in uids]
            assert [reply.text for reply in ctx.generate(asked)] == texts
    program = mean_of_logits(2)
    ctx.live([0, 1]).run(program, [JointRequest(uid, "p", "write", 1) for uid in uids])
    assert [call["sample"] for call in ctx.calls if call["kind"] == "joint" and call["member"] == 0] == [3, 4, 5] * 2


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
    ctx = answer_context(models=["a"], questions=questions(1), ask=lambda _work: [])
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
    "plain sample 0 of a": lambda ctx: ctx.plain(0),
    "requests of its own": lambda ctx: ctx.generate([Request(0, "t-dev-0", "p", "ask")]),
    "options logits of a": lambda ctx: ctx.logits(0, "options"),
    "live models": lambda ctx: ctx.live([0, 1]).run(mean_of_logits(2), [JointRequest("t-dev-0", "p", "fuse")]),
}
FIT_ACTS = ANSWER_ACTS | {
    "references of 'dev'": lambda ctx: ctx.references(),
    "references of 'train'": lambda ctx: ctx.references("train"),
    "dev scores": lambda ctx: ctx.dev_scores(0),
    "merging": lambda ctx: ctx.merge(Recipe("linear", (fingerprint("a"),), (1.0,))),
    "corpus wiki": lambda ctx: ctx.corpus("wiki"),
    "training (sft)": lambda ctx: ctx.train("sft", 0, [("p", "r")], "tuned"),
}
FIELDS = {
    "plain sample 0 of a": "plain",
    "requests of its own": "generates",
    "options logits of a": "logits",
    "live models": "live",
    "references of 'dev'": "references",
    "references of 'train'": "references",
    "dev scores": "dev_scores",
    "merging": "merges",
    "corpus wiki": "corpora",
    "training (sft)": "trains",
}
MEASURING = {
    "choose": lambda ctx, member: ctx.choose([Choice(member, "t-dev-0", "p", ("x", "y"), "choose")]),
    "embed": lambda ctx, member: ctx.embed(member, ["x"]),
    "reward": lambda ctx, member: ctx.reward(member, [("p", "x")]),
    "generate": lambda ctx, member: ctx.generate([Request(member, "t-dev-0", "p", "ask")]),
}
CAPABILITY = {"choose": "logits", "embed": "embed", "reward": "reward", "generate": "generate"}


@pytest.mark.parametrize(
    ("make", "what"),
    [*((answer_context, what) for what in ANSWER_ACTS), *((fit_context, what) for what in FIT_ACTS)],
)
def test_what_is_not_declared_is_refused_by_name(make, what):
    engine = Engine(naming)
    needs = Needs(fit=FitNeeds())
    ctx = make(models=["a", "b"], questions=questions(2, split="dev"), replies=engine, needs=needs)
    with pytest.raises(RequestError) as caught:
        FIT_ACTS[what](ctx)
    assert f"uses {what} that its `needs` does not declare" in str(caught.value)
    stage = "AnswerNeeds" if make is answer_context else "FitNeeds"
    assert str(caught.value).endswith(f"set `{FIELDS[what]}` of its {stage}")
    assert caught.value.exit_code == 2
    assert ctx.calls == []
    assert engine.accesses == 0


def test_scoring_and_discarding_need_a_declaration_too():
    ctx = fit_context(models=["a"], questions=questions(1, split="dev"), needs=Needs(fit=FitNeeds()))
    with pytest.raises(RequestError, match="references of 'dev'"):
        ctx.score([("t-dev-0", "1")])
    with pytest.raises(RequestError, match="merging"):
        ctx.discard("soup")


@pytest.mark.parametrize("act", MEASURING)
def test_whatever_is_asked_of_models_is_a_request_of_its_own(act):
    needs = Needs(capabilities=frozenset({"logits", "embed", "reward"}))
    ctx = context(needs=needs)
    with pytest.raises(RequestError, match="requests of its own"):
        MEASURING[act](ctx, 0)
    ctx = context(needs=replace(needs, answer=AnswerNeeds(generates=True)))
    MEASURING[act](ctx, 0)
    assert [call["member"] for call in ctx.calls] == [0]


@pytest.mark.parametrize("act", ["choose", "embed", "reward"])
def test_members_are_asked_only_for_what_all_of_them_must_offer(act):
    with pytest.raises(RequestError, match=f"{CAPABILITY[act]} of a .* `capabilities` of its Needs$"):
        MEASURING[act](context(needs=Needs(answer=AnswerNeeds(generates=True))), 0)


@pytest.mark.parametrize("offer", CAPABILITY.values())
@pytest.mark.parametrize("act", MEASURING)
def test_a_helper_is_asked_only_for_what_it_offers(act, offer):
    needs = Needs(answer=AnswerNeeds(generates=True), helpers={"helper": Helper("h", frozenset({offer}))})
    ctx = context(needs=needs)
    if offer == CAPABILITY[act]:
        MEASURING[act](ctx, "helper")
        assert [(call["member"], call["model"]) for call in ctx.calls] == [(-1, "helper")]
        return
    with pytest.raises(RequestError, match=f"{CAPABILITY[act]} of helper .* `capabilities` of its Helper 'helper'$"):
        MEASURING[act](ctx, "helper")


def test_only_models_that_the_method_declares_or_made_are_asked():
    needs = Needs(answer=AnswerNeeds(generates=True), fit=FitNeeds(generates=True, merges=True), models=("soup",))
    MEASURING["generate"](context(needs=needs, fitted={"soup": Recipe("linear", (fingerprint("b"),), (1.0,))}), "soup")
    with pytest.raises(RequestError, match="model other"):
        MEASURING["generate"](context(needs=needs), "other")
    ctx = fit_context(models=["a", "b"], questions=DEV, needs=needs)
    with pytest.raises(RequestError, match="model soup"):
        MEASURING["generate"](ctx, "soup")
    name = ctx.merge(Recipe("linear", (fingerprint("b"),), (1.0,)))
    MEASURING["generate"](ctx, name)
    ctx.discard(name)
    with pytest.raises(RequestError, match="model merged-"):
        MEASURING["generate"](ctx, name)


def test_a_helper_and_a_model_of_the_fit_have_different_names():
    with pytest.raises(RequestError, match="both called base"):
        Needs(fit=FitNeeds(), models=("base",), helpers={"base": Helper("m")})


def test_log_probabilities_vectors_and_rewards_are_given_in_order_and_are_calls():
    lengths = Engine(measure=lambda model, *texts: [len(model), *map(len, texts)])
    ctx = context(models=("a", "bb"), replies=lengths)
    choices = [Choice(1, "t-test-1", "three", ("x", "y"), "pick"), Choice(0, "t-test-0", "p", (), "pick")]
    assert ctx.choose(choices) == [(2.0, 2.0), ()]
    assert ctx.embed(1, ["four", "x"]).tolist() == [[2, 4], [2, 1]]
    assert ctx.reward(0, [("p", "r"), ("p", "s")]) == [1, 1]
    assert [
        (c["uid"], c["call"], c["kind"], c["round"], c["purpose"], c["member"], c["prompt"]) for c in ctx.calls
    ] == [
        ("t-test-1", 0, "choice", 0, "pick", 1, "three"),
        ("t-test-0", 0, "choice", 0, "pick", 0, "p"),
        ("", 0, "embedding", 1, "embedding", 1, "four"),
        ("", 1, "embedding", 1, "embedding", 1, "x"),
        ("", 2, "reward", 2, "reward", 0, "p"),
        ("", 3, "reward", 2, "reward", 0, "p"),
    ]


def test_models_are_live_in_fits_too_under_every_kind_of_name():
    needs = Needs(fit=FitNeeds(live=True, merges=True), helpers={"mentor": Helper("m", frozenset({"logits"}))})
    engine = Engine(naming)
    ctx = fit_context(models=["a", "b"], questions=DEV, replies=engine, needs=needs)
    soup = ctx.merge(Recipe("linear", (fingerprint("a"), fingerprint("b")), (0.5, 0.5)))
    ctx.live([1, "mentor", soup]).run(mean_of_logits(3), [JointRequest("t-dev-0", "p", "fuse")])
    assert [(call["kind"], call["member"], call["model"]) for call in ctx.calls] == [
        ("joint", 1, "b"),
        ("joint", -1, "mentor"),
        ("joint", -1, soup),
    ]
    with pytest.raises(RequestError, match="model other"):
        ctx.live([0, "other"]).run(mean_of_logits(2), [JointRequest("t-dev-0", "p", "fuse")])


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
    assert ctx.score(list(replies.items())) == [1.0, 0.0, None]
    assert ctx.references_used == {"dev"}


def test_an_item_may_have_several_replies_and_scores_come_in_their_order():
    gold = references(DEV)
    gold["t-dev-1"] = replace(gold["t-dev-1"], valid=False)
    ctx = fit_context(models=["a"], questions=DEV, references=gold)
    replies = [
        (2, right_reply),
        (0, wrong_reply),
        (1, right_reply),
        (0, right_reply),
        (2, wrong_reply),
        (0, wrong_reply),
    ]
    scores = ctx.score([(DEV[place].uid, reply(DEV[place])) for place, reply in replies])
    assert scores == [1, 0, None, 1, 0, 0]
    assert ctx.score([]) == []


SINGLE = {name: Recipe("linear", (fingerprint(name),), (1.0,)) for name in "ab"}


def candidates(replies, workdir=None):
    """Score a recipe, a member and the recipe again, on two of three items; return the context and the scores."""
    ctx = fit_context(models=["a", "b"], questions=DEV, replies=replies, workdir=workdir)
    tried = [SINGLE["a"], 1, SINGLE["a"]]
    return ctx, ctx.candidates(tried, questions=DEV[1:], decoding=Decoding(max_new_tokens=3), purpose="try")


def test_candidates_are_made_asked_in_one_round_scored_and_dropped():
    # The right options of the items are A, B and C.
    engine = Engine({"a": "The answer is B", "b": "The answer is C"})
    ctx, scores = candidates(engine)
    assert scores == [{"t-dev-1": 1, "t-dev-2": 0}, {"t-dev-1": 0, "t-dev-2": 1}, {"t-dev-1": 1, "t-dev-2": 0}]
    assert engine.merged == [SINGLE["a"]]
    ((merged, *_), *_) = [(asked.model for asked in asked_round) for asked_round in engine.rounds]
    assert engine.discarded == [merged]
    assert [[(asked.model, asked.uid, asked.purpose, asked.decoding.max_new_tokens) for asked in engine.rounds[0]]] == [
        [(model, uid, "try", 3) for model in (merged, "b") for uid in ("t-dev-1", "t-dev-2")]
    ]
    assert len(engine.rounds) == 1
    assert ctx.references_used == {"dev"}


def test_candidates_are_dropped_when_their_round_fails():
    engine = Engine(naming, fail_at=2)
    with pytest.raises(ScriptedError):
        candidates(engine)
    assert len(engine.discarded) == 1


def test_candidates_are_remembered_by_an_interrupted_fit(tmp_path):
    whole, expected = candidates(Engine(naming), tmp_path)
    nothing_works = Engine(naming, fail_at=1)
    again, known = candidates(nothing_works, tmp_path)
    assert (known, again.calls) == (expected, whole.calls)
    assert nothing_works.accesses == 0


def test_use_of_references_is_remembered_by_split():
    train = questions(2, "multiple_choice", split="train")
    ctx = fit_context(models=["a"], questions=[*DEV, *train])
    assert set(ctx.references("train")) == {item.uid for item in train}
    assert ctx.references_used == {"train"}
    assert ctx.score([(train[0].uid, right_reply(train[0]))]) == [1.0]
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
        return ctx.score([(item.uid, reply.text) for item, reply in zip(DEV, replies, strict=False)])

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
    with pytest.raises(RequestError, match="`needs`"):
        ctx.extract(questions(1)[0], "1")


def test_a_further_model_has_a_fingerprint_only_where_it_is_declared():
    needs = Needs(fit=FitNeeds(), helpers={"base": Helper("base")})
    ctx = fit_context(models=["a", "b"], questions=[], needs=needs)
    assert ctx.fingerprint("base") == fingerprint("base")
    with pytest.raises(RequestError, match="the method uses model other that its `needs` does not declare"):
        ctx.fingerprint("other")


def test_values_that_json_has_no_form_for_are_refused_by_place():
    good = {"a": [1, 0.5, None, True, ("x",)], "b": np.float64(0.5)}
    check_json(good, "record")
    for wrong, place in (
        ({"surplus": [0.5, np.float32(0.5)]}, "record.surplus[1]: 0.5 of type numpy.float32"),
        ({"member": np.int64(1)}, "record.member: 1 of type numpy.int64"),
        ({"sure": np.bool_(True)}, "record.sure: True of type numpy.bool"),
        ({"means": np.zeros(1)}, "record.means: [0.] of type numpy.ndarray"),
        ({"score": float("nan")}, "record.score: nan of type float"),
        ({"by": {1: 2}}, "record.by, a key: 1 of type int"),
    ):
        with pytest.raises(WorkError, match=re.escape(place)) as caught:
            check_json(wrong, "record")
        assert "\n" not in str(caught.value)


def test_a_record_and_a_state_of_other_values_name_the_item(tmp_path):
    wrong = Answer("t-test-0", "x", record={"score": np.float32(1)})
    with pytest.raises(WorkError, match=r"record of the answer to t-test-0\.score"):
        checked_answers([wrong], questions(1))
    with pytest.raises(WorkError, match=r"state\.data\.member"):
        write_state(tmp_path, State({"member": np.int64(1)}), {})
    assert list(tmp_path.iterdir()) == []


class Tuned(Method):
    """Trains a member on the references of dev, and answers with what it made."""

    def needs(self, _pool):
        fit = FitNeeds(references=True, generates=True, trains=True)
        return Needs(
            fit=fit, answer=AnswerNeeds(fitted_plain=1), capabilities=frozenset({"trainable"}), models=("tuned",)
        )

    def fit(self, ctx):
        pairs = [(item.prompt, ctx.references()[item.uid].text()) for item in ctx.questions]
        tuned = ctx.train("sft", 1, pairs, "tuned", steps=3, rank=2)
        [asked] = ctx.generate([Request("tuned", ctx.questions[0].uid, "p", "try")])
        return State({"said": asked.text}, models={"tuned": tuned})

    def answer(self, ctx, _state):
        for item in ctx.questions:
            yield Answer(item.uid, ctx.plain("tuned")[item.uid].text, models=("tuned",))


def test_what_a_scripted_fit_trains_is_asked_in_fit_and_answer_and_kept(tmp_path):
    Tuned.id = "text_tuned"
    method, world = Tuned(None), World(("a", "b"), replies=naming)
    state = world.fit(method)
    assert state.data == {"said": "b*0"}
    assert world.fit(method) == state
    write_state(tmp_path, state, {})
    answers = world.answer(method, read_state(tmp_path))
    assert {row["text"] for row in answers.values()} == {"b*0"}
    undeclared = replace(method.needs(world.pool), capabilities=frozenset())
    with pytest.raises(RequestError, match="trainable of b that its `needs` does not declare"):
        World(("a", "b"), replies=naming, needs=undeclared).fit(method)
    with pytest.raises(ValidationError):
        fit_context(models=["a"], questions=DEV).train("sft", 0, [("p", "r")], "tuned", stesp=3)
