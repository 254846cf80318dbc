"""A base and a nudger write in turn: who writes which piece, what each reads, and what a search on dev keeps."""

import json
from itertools import product

import pytest
import torch
from support.contexts import World, fit_context
from support.engines import Engine, joint_request
from support.items import questions, right_reply, wrong_reply
from support.scripted_steps import END, ScriptedModel, about, byte_tokenizer, save_random_model

from moco.config.decoding import Decoding
from moco.config.engine import EngineSettings
from moco.decoding.loop import Row
from moco.decoding.session import Session
from moco.errors import RequestError
from moco.jobs.inference import Inference
from moco.jobs.joint import JointInference
from moco.methods.api.nudging import BASE, NUDGER, Nudging
from moco.methods.base import PoolInfo, Request, State
from moco.methods.catalogue import make_method
from moco.models.info import ModelInfo
from moco.store.generations import GenerationStore

GREEDY = Decoding(max_new_tokens=24, temperature=0)
HOT = Decoding(max_new_tokens=24, temperature=1.0, top_p=0.95)
QUESTIONS = ["Why?", "What is 2 + 2?", "Say something long, please, and think about it first.", "日本 😀", "a", "b c"]
variants = pytest.mark.parametrize("retokenise", [True, False], ids=["stateless", "stateful"])


def write(base, nudger, gamma, *, retokenise=False, limit=12, prompts=("",)):
    """Write with two scripted models of vocabularies of their own; return rows in order."""
    models = [base, nudger]
    session = Session(models, [about("base", "b"), about("nudger", "n")])
    decoding = Decoding(max_new_tokens=limit, temperature=0)
    rows = []
    for place, prompt in enumerate(prompts):
        ids = [model.tokenizer(f"{prompt}|", add_special_tokens=False)["input_ids"] for model in models]
        rows.append(Row(str(place), ids[0], decoding, None, ids))
    finished = {row.key: row for row in session.run(Nudging(gamma, retokenise), rows)}
    return [finished[row.key] for row in rows]


def says(text, top=0.9, end=END):
    """A script that says a text byte by byte, whatever is there already, then ends."""
    data = text.encode()

    def script(reply):
        if len(reply) >= len(data):
            return {end: 1.0}
        # The rest is spread so thinly that nothing else is likelier.
        return {data[len(reply)]: top} | {place: (1 - top) / 32 for place in range(32)}

    return script


def authors(row):
    return "".join("bn"[place] for place, *_ in row.segments)


@variants
def test_the_nudger_writes_a_word_and_the_base_goes_on_where_it_is_sure(retokenise):
    base = ScriptedModel(says("the cat sat on", top=0.9), byte_tokenizer())
    nudger = ScriptedModel(says("THE CAT SAT ON"), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.4, retokenise=retokenise, limit=20)
    # Its first proposal with a space comes after its first word; from there the base is sure of all.
    assert (row.text, authors(row), row.stopped) == ("THE cat sat on", "nnn" + "b" * 11, True)


@variants
def test_an_unsure_base_leaves_a_word_to_the_nudger(retokenise):
    def unsure_of_second_word(reply):
        return says("the cat sat on", top=0.3 if len(reply) == 4 else 0.9)(reply)

    base = ScriptedModel(unsure_of_second_word, byte_tokenizer())
    nudger = ScriptedModel(says("THE CAT SAT ON"), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.4, retokenise=retokenise, limit=20)
    assert (row.text, authors(row)) == ("THE CAT sat on", "nnnbnnn" + "b" * 7)
    # Below the threshold everywhere, the nudger writes all.
    [row] = write(base, nudger, 1.1, retokenise=retokenise, limit=20)
    assert (row.text, set(authors(row))) == ("THE CAT SAT ON", {"n"})


@pytest.mark.parametrize("space", ["\n", "\t", "\u3000"])
def test_any_white_space_ends_a_word(space):
    base = ScriptedModel(says("ab cd", top=0.9), byte_tokenizer())
    nudger = ScriptedModel(lambda reply: {space if reply else ord("A"): 1.0}, byte_tokenizer((space,)))
    [row] = write(base, nudger, 0.4)
    assert (row.text, authors(row)) == ("Ab cd", "nbbbb")


def test_without_a_threshold_the_base_writes_all_but_the_first_word():
    base = ScriptedModel(says("ab cd ef", top=0.04), byte_tokenizer())
    nudger = ScriptedModel(says("AB CD EF"), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.0)
    assert (row.text[:2], authors(row)[:2], set(authors(row)[2:])) == ("AB", "nn", {"b"})


def test_an_end_that_the_nudger_proposes_within_its_turn_ends_the_reply():
    base = ScriptedModel(says("ab cd", top=0.99), byte_tokenizer())
    nudger = ScriptedModel(says("AB"), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.4)
    assert (row.text, row.stopped, authors(row)) == ("AB", True, "nn")


@variants
def test_a_character_of_four_bytes_is_written_by_one_model_and_survives(retokenise):
    # The base is unsure within the character, where the nudger would write something else.
    def base_script(reply):
        return says("go 😀 on", top=0.1 if 3 < len(reply) < 7 else 0.9)(reply)

    base = ScriptedModel(base_script, byte_tokenizer())
    nudger = ScriptedModel(says("g", end=" "), byte_tokenizer((" ",)))
    [row] = write(base, nudger, 0.4, retokenise=retokenise)
    assert row.text == "go 😀 on"
    assert authors(row) == "n" + "b" * 9
    at = [(start, end) for _, start, end, _ in row.segments[3:7]]
    assert at == [(3, 3), (3, 3), (3, 3), (3, 4)]


def test_a_model_runs_only_where_its_token_is_needed():
    base = ScriptedModel(says("ab cd ef gh", top=0.9), byte_tokenizer())
    nudger = ScriptedModel(says("AB CD EF GH"), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.4, limit=11)
    checks = 3  # splices of the check whether gaps are read
    assert authors(row) == "nn" + "b" * 9
    assert nudger.reads[checks:] == [[1], [1]]
    # The base reads the nudger's word at once when it is first asked, then token by token.
    assert base.reads[checks:] == [[2]] + [[1]] * 8


def test_segments_say_where_a_piece_stands_and_how_likely_it_was():
    base = ScriptedModel(says("ab cd", top=0.8), byte_tokenizer())
    nudger = ScriptedModel(says("AB CD", top=0.6), byte_tokenizer(("x",)))
    [row] = write(base, nudger, 0.7)
    assert [row.text[start:end] for _, start, end, _ in row.segments] == list(row.text)
    chances = {NUDGER: 0.6, BASE: 0.8}
    for place, _, _, logprob in row.segments:
        assert logprob == pytest.approx(float(torch.tensor(chances[place]).log()), abs=1e-6)


# Real models


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("nudging")
    made = {f"byte{seed}": save_random_model(byte_tokenizer(), root / f"byte{seed}", seed) for seed in (0, 1)}
    made["words"] = save_random_model(byte_tokenizer(("the", " is", "a")), root / "words", 2)
    return made


@pytest.fixture
def make(folders, tiny_checkpoint, resolved, tmp_path):
    places = {**folders, "zoo": tiny_checkpoint("base", 0), "zoo2": tiny_checkpoint("base", 1)}
    infos = {
        name: ModelInfo(**{**vars(resolved(folder, name)), "location": str(folder)}) for name, folder in places.items()
    }

    def inference(store="store", **settings):
        engines = dict.fromkeys(infos, EngineSettings(**settings))
        return Inference(infos, engines, GenerationStore(tmp_path / store), tmp_path)

    return inference


def nudge(inference, names, gamma, retokenise, decoding=GREEDY, asked=QUESTIONS):
    jobs = [joint_request(question, decoding) for question in asked]
    return [each.response for each in JointInference(inference, names).run(jobs, Nudging(gamma, retokenise), 1)]


def plain(inference, name, decoding=GREEDY):
    requests = [Request(name, each, each, "plain", decoding=decoding) for each in QUESTIONS]
    return [reply.response.text for reply in inference.run(requests, 1)]


def test_a_threshold_above_one_leaves_all_to_the_nudger(make):
    inference = make()
    alone = plain(inference, "byte1")
    assert len(set(alone)) > 3
    # Single bytes: however a text is cut, its tokens are the same.
    for retokenise in (True, False):
        replies = nudge(inference, ["byte0", "byte1"], 1.1, retokenise)
        assert [reply.text for reply in replies] == alone
        assert {segment.model for reply in replies for segment in reply.segments} == {"byte1"}
    assert [reply.text for reply in nudge(inference, ["zoo2", "zoo"], 1.1, False)] == plain(inference, "zoo")


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.1])
def test_a_model_that_nudges_itself_is_that_model(make, gamma):
    inference = make()
    assert [reply.text for reply in nudge(inference, ["zoo", "zoo"], gamma, False)] == plain(inference, "zoo")
    for retokenise in (True, False):
        found = [reply.text for reply in nudge(inference, ["byte0", "byte0"], gamma, retokenise)]
        assert found == plain(inference, "byte0")


@variants
@pytest.mark.parametrize("names", [("byte0", "byte1"), ("byte0", "words"), ("words", "zoo")], ids="+".join)
@pytest.mark.parametrize("decoding", [GREEDY, HOT], ids=["greedy", "sampled"])
def test_replies_do_not_depend_on_the_batch(make, names, retokenise, decoding):
    alone = nudge(make("a", batch_rows=1), names, 0.3, retokenise, decoding)
    for rows in (4,):
        together = nudge(make(f"b{rows}", batch_rows=rows), names, 0.3, retokenise, decoding)
        assert [reply.text for reply in together] == [reply.text for reply in alone]
        assert [reply.segments for reply in together] == [reply.segments for reply in alone]
    writers = {segment.model for reply in alone for segment in reply.segments}
    assert writers == set(names) or "zoo" in names
    assert not any(mark in reply.text for reply in alone for mark in ("<|end|>", "<|pad|>", "<|user|>"))


def test_what_is_read_from_the_store_says_who_wrote_what(make):
    first = nudge(make(), ("zoo", "words"), 0.3, False)
    inference = make()
    assert nudge(inference, ("zoo", "words"), 0.3, False) == first
    assert inference.resident.loads == 0
    assert any(reply.segments for reply in first)


def test_another_threshold_or_order_is_another_reply(make):
    inference = make()
    settings = [(("zoo", "zoo2"), 0.3, False), (("zoo2", "zoo"), 0.3, False), (("zoo", "zoo2"), 0.2, False)]
    settings.append((("zoo", "zoo2"), 0.3, True))
    keys = [nudge(inference, *each, asked=QUESTIONS[:1])[0].key for each in settings]
    assert len(set(keys)) == len(keys)


def test_the_rule_by_hand(make):
    """A loop of a few lines over the bare networks writes the same."""
    inference = make()
    engines = inference.live(["byte0", "byte1"])
    found = nudge(inference, ["byte0", "byte1"], 0.25, False)
    turns = set()
    for question, reply in zip(QUESTIONS, found, strict=True):
        prompt = list(inference.renderer("byte0").render(question, GREEDY.max_new_tokens).tokens)
        data, tokens, nudging, accepted = b"", [], True, 0
        while len(tokens) < GREEDY.max_new_tokens:
            with torch.inference_mode():
                logits = [engine.model(torch.tensor([prompt + tokens])).logits[0, -1] for engine in engines]
            base, nudger = (int(each.argmax()) for each in logits)
            sure = float(torch.softmax(logits[0], -1).max()) >= 0.25
            within = bytes_open(data)
            spaced = byte_of(nudger).isspace()
            if nudging and (accepted == 0 or within or not spaced or not sure):
                chosen, accepted = nudger, accepted + 1
            elif sure or within:
                chosen, nudging, accepted = base, False, 0
            else:
                chosen, nudging, accepted = nudger, True, 1
            if chosen == 1:
                break
            tokens.append(chosen)
            turns.add(nudging)
            data += byte_of(chosen)
        assert reply.text == data.decode("utf-8", "replace").strip()
    assert turns == {True, False}


def byte_of(token):
    """The byte of a token, by the order in which the vocabulary lists them."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return bytes([[*shown, *hidden][token - 2]]) if token > 1 else b""


def bytes_open(data):
    """Whether some bytes more could complete a character at the end."""
    for back in (1, 2, 3):
        tail = data[-back:]
        if len(tail) < back:
            continue
        for more in product((0x80, 0x90, 0xA0, 0xBF), repeat=4 - back):
            for length in range(1, 5 - back):
                try:
                    if len((tail + bytes(more[:length])).decode()) == 1:
                        return True
                except UnicodeDecodeError:
                    pass
    return False


# The search


def search(settings, script, type="exact_match", models=("a", "b", "c"), **context):
    method = make_method("api_nudging", settings)
    items = questions(4, type, split="dev")
    ctx = fit_context(
        models=models, questions=items, replies=script, needs=method.needs(PoolInfo.of_size(len(models))), **context
    )
    return method.fit(ctx)


class ByPair(Engine):
    """Replies that depend on gamma and nudger: right for so many of the items."""

    def __init__(self, right, items):
        super().__init__()
        self._right, self._items = right, items
        self.pairs = []

    def run(self, work):
        program, members = work[0].program, work[0].members
        self.pairs.append((program.gamma, members))
        count = self._right(program.gamma, members[1])
        replies = super().run(work)
        return [
            type(each)(
                type(each.response)(text=(right_reply if place < count else wrong_reply)(self._items[place])),
                each.prompt_tokens,
            )
            for place, each in enumerate(replies)
        ]


def test_the_search_keeps_the_best_pair_and_the_first_of_equals():
    items = questions(4, "exact_match", split="dev")
    settings = {"search_gamma": True, "search_nudging": True}
    engine = ByPair(lambda gamma, nudger: 3 if (gamma, nudger) in ((0.3, "c"), (0.5, "b")) else 1, items)
    state = search(settings, engine)
    assert (state.data["gamma"], state.data["nudger"]) == (0.3, 2)
    grid = [(gamma, ("a", nudger)) for gamma in (0.2, 0.3, 0.4, 0.5) for nudger in ("b", "c")]
    assert engine.pairs == grid
    assert [entry["score"] for entry in state.data["tried"]] == [0.25, 0.25, 0.25, 0.75, 0.25, 0.25, 0.75, 0.25]
    state = search(settings, ByPair(lambda *_: 0, items))
    assert (state.data["gamma"], state.data["nudger"]) == (0.2, 1)


def test_the_search_keeps_the_largest_of_negative_scores(monkeypatch):
    scores = {(0.2, 1): -3.0, (0.2, 2): -2.5, (0.4, 1): -0.5, (0.4, 2): -4.0}
    method = make_method("api_nudging", {"search_gamma": True, "search_nudging": True, "gammas": [0.2, 0.4]})
    monkeypatch.setattr(type(method), "_dev_score", lambda _self, _ctx, gamma, nudger: scores[gamma, nudger])
    state = method.fit(fit_context(models=("a", "b", "c"), questions=[]))
    assert (state.data["gamma"], state.data["nudger"]) == (0.4, 1)


def test_answers_use_what_the_search_found():
    world = World(("a", "b", "c"))
    method = make_method("api_nudging", {"search_gamma": True, "search_nudging": True})
    engine = Engine()
    answers = world.answer(method, State({"gamma": 0.2, "nudger": 2}), engine)
    assert {asked.model for asked in engine.requests} == {"a+c"}
    [record] = {row["record_json"] for row in answers.values()}
    assert json.loads(record) == {"gamma": 0.2, "nudger": "c", "shares": {"a": 0.0, "c": 0.0}, "hand_overs": 0}


def test_a_base_that_nudges_itself_is_refused():
    with pytest.raises(RequestError, match="base and nudger are the same member"):
        make_method("api_nudging", {"nudging_model_id": 0})
    make_method("api_nudging", {"nudging_model_id": 0, "search_nudging": True})
    assert make_method("api_nudging", {"nudging_model_id": 3}).needs(PoolInfo.of_size(2)).min_models == 4
