"""Blackboard: when it ends, who acts, what is read in replies, how conclusions are voted on, what prompts show."""

from collections import Counter
from itertools import pairwise

import pytest
from support.contexts import World
from support.engines import Engine, varied
from support.items import questions
from support.rounds import answered, by_purpose, shown

from moco.config.decoding import Decoding
from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.methods.text.bbmas import (
    ACTIONS,
    Entry,
    action_in,
    conclusion_in,
    execute_prompt,
    header,
    select_prompt,
    vote_in,
    vote_prompt,
)
from moco.prompts import blocks

ID = "text_bbmas"
MODELS = ("a", "b", "c")


def script(action, vote="1", text="{model} does {action}", mark="CONCLUSION: "):
    """Replies of models that choose what `action` gives for a model and the titles of the board, and then do it."""

    def reply(model, prompt, _sample):
        board = [title for title, _ in shown(prompt) if title.startswith("entry")]
        if "\nACTION: NAME" in prompt:
            return f"I think.\nACTION: {action(model, board)}"
        if "\nVOTE: NUMBER" in prompt:
            return f"I think.\nVOTE: {vote if isinstance(vote, str) else vote(model)}"
        [done] = [name for name, instruction in ACTIONS.items() if instruction in prompt]
        said = text.format(model=model, action=done)
        return f"Working out.\n{mark}{said}" if done == "FINALISE" else said

    return reply


def run(replies, models=MODELS, **params):
    names = ("items", "kind", "member", "seed", "decoding")
    settings = {name: params.pop(name) for name in names if name in params}
    return answered(ID, params, models=models, replies=replies, **{"items": 1, **settings})


def actors(engine):
    """Who chose an action, by iteration."""
    chosen = {}
    for asked in engine.requests:
        if asked.purpose.startswith("select"):
            chosen.setdefault(int(asked.purpose.split()[1]), []).append(asked.model)
    return chosen


# When it ends


def test_a_conclusion_at_once_takes_two_calls_and_is_what_follows_the_mark():
    answers, engine, ctx = run(script(lambda *_: "FINALISE"), items=3)
    for answer in answers:
        calls = [call for call in ctx.calls if call["uid"] == answer.uid]
        assert [call["purpose"] for call in calls] == ["select 1", "finalise 1"]
        (model,) = answer.models
        assert (answer.text, answer.fallback) == (f"{model} does FINALISE", None)
        assert (answer.record["stop"], answer.record["iterations"]) == ("agreed", 1)
        assert answer.record["participant"] == MODELS.index(model)
    assert len(engine.rounds) == 2


@pytest.mark.parametrize("action", ["EXECUTE", "PROPOSE", "CRITIQUE"])
def test_without_any_conclusion_the_best_on_dev_concludes_at_the_limit(action):
    answers, engine, ctx = run(script(lambda *_: action), member=2, max_iterations=4)
    (answer,) = answers
    assert (answer.text, answer.models) == ("c does FINALISE", ("c",))
    assert answer.fallback == "no agreed conclusion at the limit of iterations"
    assert (answer.record["stop"], answer.record["iterations"]) == ("limit", 4)
    assert [one["action"] for one in answer.record["board"]] == [action] * 4 + ["FINALISE"]
    assert len(ctx.calls) == 2 * 4 + 1
    (forced,) = by_purpose(engine, "finalise 5")
    assert "why you chose" not in forced.prompt


def test_two_conclusions_of_one_participant_are_no_two_participants():
    def only_a(model, _board):
        return "FINALISE" if model == "a" else "NOTHING"

    answers, engine, _ = run(script(only_a), models=("a", "b"), stops=2, max_iterations=8, retries=0)
    assert answers[0].record["stop"] == "limit"
    by = Counter(one["participant"] for one in answers[0].record["board"][:-1])
    assert by[0] > 1 == len(by)
    assert len(by_purpose(engine, "vote")) == 0


@pytest.mark.parametrize("seed", range(1, 6))
def test_two_participants_must_conclude_where_two_must_and_the_second_ends_it(seed):
    answers, engine, _ = run(script(lambda *_: "FINALISE"), stops=2, seed=seed)
    who = [names[0] for names in actors(engine).values()]
    assert len(set(who)) == 2
    assert who[-1] not in who[:-1]
    assert answers[0].record["stop"] == "agreed"
    assert len(by_purpose(engine, "vote")) == 3


def test_another_action_lets_standing_conclusions_fall():
    plan = ["FINALISE", "EXECUTE", "FINALISE", "FINALISE"]
    answers, engine, _ = run(script(lambda _, board: plan[len(board)]), stops=2, cooldown=2, max_iterations=4)
    # All three take turns: without the fall the third action, another one's conclusion, would have ended it.
    assert [one["action"] for one in answers[0].record["board"]] == plan
    assert answers[0].record["stop"] == "agreed"
    (vote, *_) = by_purpose(engine, "vote")
    assert len([title for title, _ in shown(vote.prompt) if title.startswith("conclusion")]) == 2


def test_conclusions_of_one_iteration_stand_beside_other_actions_of_it():
    def split(model, _board):
        return "EXECUTE" if model == "a" else "FINALISE"

    answers, _, _ = run(script(split), actors=3, stops=2)
    assert (answers[0].record["stop"], answers[0].record["iterations"]) == ("agreed", 1)


def test_more_conclusions_than_participants_are_refused_with_the_pool():
    assert make_method(ID, {"stops": 4}).needs(PoolInfo.of_size(3)).min_models == 4
    assert make_method(ID, {}).needs(PoolInfo.of_size(3)).min_models == 2


@pytest.mark.parametrize(
    "params", [{"actors": 0}, {"stops": 0}, {"max_iterations": 0}, {"retries": -1}, {"cooldown": -1}]
)
def test_senseless_numbers_are_refused(params):
    with pytest.raises(RequestError, match=next(iter(params))):
        make_method(ID, params)


# Who acts


@pytest.mark.parametrize("seed", range(1, 4))
def test_two_participants_take_turns_where_who_acted_must_pause_once(seed):
    _, engine, _ = run(script(lambda *_: "EXECUTE"), models=("a", "b"), cooldown=1, seed=seed, max_iterations=8)
    who = [names for _, names in sorted(actors(engine).items())]
    assert all(len(names) == 1 for names in who)
    assert all(before != after for before, after in pairwise(who))


@pytest.mark.parametrize("cooldown", [0, 2, 9])
def test_the_idle_act_first_whoever_must_pause(cooldown):
    threshold, pool = 3, tuple("abcde")
    found = set()
    for seed in range(1, 6):
        _, engine, _ = run(
            script(lambda *_: "EXECUTE"),
            models=pool,
            idle_threshold=threshold,
            cooldown=cooldown,
            seed=seed,
            max_iterations=20,
        )
        last = dict.fromkeys(pool, 0)
        for iteration, names in sorted(actors(engine).items()):
            late = {name for name in pool if iteration - 1 - last[name] > threshold}
            paused = {name for name in pool if last[name] and iteration - last[name] <= cooldown}
            for name in names:
                assert name in late or not late
                if not late and paused != set(pool):
                    assert name not in paused
                found |= {"late"} if late else {"all pause"} if paused == set(pool) else set()
                last[name] = iteration
    assert "late" in found


def test_where_everybody_must_pause_all_may_act():
    _, engine, _ = run(script(lambda *_: "EXECUTE"), models=("a", "b"), cooldown=5, max_iterations=6)
    assert len(actors(engine)) == 6


def test_as_many_act_as_may_and_no_more_than_there_are():
    _, engine, _ = run(script(lambda *_: "EXECUTE"), actors=2, max_iterations=5)
    assert [len(set(names)) for names in actors(engine).values()] == [2] * 5
    _, engine, _ = run(script(lambda *_: "EXECUTE"), actors=9, max_iterations=2)
    assert [sorted(names) for names in actors(engine).values()] == [list(MODELS)] * 2


def test_who_acts_is_drawn_by_seed_item_and_iteration():
    def drawn(seed):
        _, engine, _ = run(script(lambda *_: "EXECUTE"), items=8, seed=seed, max_iterations=3)
        return [(one.uid, one.purpose, one.model) for one in engine.requests if one.purpose.startswith("select")]

    first = drawn(1)
    assert first == drawn(1) != drawn(2)
    assert len({tuple(model for uid, _, model in first if uid == item.uid) for item in questions(8)}) > 2


def test_actors_of_an_iteration_see_the_board_as_it_was_at_its_start():
    _, engine, _ = run(script(lambda *_: "EXECUTE"), actors=3, max_iterations=3)
    for iteration in (1, 2, 3):
        for purpose in ("select", "execute"):
            asked = by_purpose(engine, f"{purpose} {iteration}")
            entries = [[title for title, _ in shown(one.prompt) if title.startswith("entry")] for one in asked]
            assert [len(each) for each in entries] == [3 * (iteration - 1)] * 3


def test_one_model_speaks_for_all_on_request():
    answers, engine, _ = run(script(lambda *_: "FINALISE"), shared_best=True, member=1, stops=2, actors=2)
    assert {asked.model for asked in engine.requests} == {"b"}
    assert answers[0].models == ("b",)
    assert len({asked.prompt for asked in by_purpose(engine, "select 1")}) == 2  # as different participants


# What is read


@pytest.mark.parametrize(
    ("reply", "action"),
    [
        ("ACTION: PROPOSE", "PROPOSE"),
        ("I could CRITIQUE or EXECUTE.\nACTION: CRITIQUE\nNo:\n**ACTION: EXECUTE**.", "EXECUTE"),
        ("We should FINALISE, since EXECUTE is done.\n\n> action: finalize\n", "FINALISE"),
        ("**Action:** propose", "PROPOSE"),
        ("ACTION: EXECUTE\nACTION: VERIFY", None),
        ("My ACTION: EXECUTE", None),
        ("ACTION: EXECUTE or CRITIQUE", None),
        ("ACTION: NAME", None),
        ("EXECUTE", None),
        ("", None),
    ],
)
def test_an_action_is_the_last_line_of_its_form(reply, action):
    assert action_in(reply) == action


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("VOTE: 2", 1),
        ("Conclusion 1 is wrong.\nVOTE: 1\nNo.\n**VOTE: 3**", 2),
        ("vote #1.", 0),
        ("VOTE: 4", None),
        ("VOTE: 0", None),
        ("VOTE: 1\nVOTE: 9", None),
        ("I vote for conclusion 2", None),
        ("VOTE: NUMBER", None),
    ],
)
def test_a_vote_is_the_last_line_of_its_form_and_in_range(reply, place):
    assert vote_in(reply, 3) == place


@pytest.mark.parametrize(
    ("text", "conclusion"),
    [
        ("So.\nCONCLUSION:\nIt is \\box{3}.", "It is \\box{3}."),
        ("CONCLUSION: one\nCONCLUSION: two\nlines", "two\nlines"),
        ("**Conclusion:** 7", "7"),
        ("In conclusion: 7", None),
        ("CONCLUSION:\n", None),
        ("7", None),
    ],
)
def test_a_conclusion_follows_its_last_mark(text, conclusion):
    assert conclusion_in(text) == conclusion


def test_an_unmarked_conclusion_is_taken_whole_and_counted():
    answers, _, _ = run(script(lambda *_: "FINALISE", mark=""))
    (answer,) = answers
    assert answer.text == f"Working out.\n{answer.models[0]} does FINALISE"
    assert answer.fallback == "the conclusion is not marked as one"


def test_who_names_no_action_is_asked_again_with_other_samples_and_then_does_nothing():
    answers, engine, _ = run(script(lambda *_: "SLEEP"), retries=2, max_iterations=3, models=("a", "b"))
    (answer,) = answers
    assert [one["action"] for one in answer.record["board"]] == ["FINALISE"]
    assert len(answer.record["unread"]) == 3 * 3
    asked = [(one.model, one.prompt, one.sample) for one in engine.requests]
    assert len(set(asked)) == len(asked) == 3 * 3 + 1
    assert by_purpose(engine, "select 1")[-1].sample == 2


def test_only_who_could_not_be_read_is_asked_again():
    def reply(model, prompt, sample):
        if "\nACTION: NAME" in prompt and model == "a" and sample < 2:
            return "Hm."
        return script(lambda *_: "EXECUTE")(model, prompt, sample)

    answers, engine, _ = run(reply, actors=3, max_iterations=1)
    assert Counter(one.model for one in by_purpose(engine, "select 1")) == {"a": 3, "b": 1, "c": 1}
    assert [one["participant"] for one in answers[0].record["unread"]] == [0, 0]
    assert {one["participant"] for one in answers[0].record["board"][:3]} == {0, 1, 2}


def test_a_greedy_reply_is_not_asked_for_again():
    greedy = Decoding(max_new_tokens=16, temperature=0)
    _, engine, _ = run(script(lambda *_: "SLEEP"), retries=3, max_iterations=2, decoding=greedy)
    assert len(engine.requests) == 2 + 1


def test_silence_is_no_entry_and_no_conclusion():
    answers, engine, _ = run(script(lambda *_: "FINALISE", text=" ", mark=""), max_iterations=2)
    assert "Working out." in answers[0].text

    def silent(model, prompt, sample):
        return "" if ACTIONS["FINALISE"] in prompt else script(lambda *_: "FINALISE")(model, prompt, sample)

    answers, engine, _ = run(silent, max_iterations=2)
    assert (answers[0].record["board"], answers[0].record["stop"]) == ([], "limit")
    assert all("The board is still empty." in asked.prompt for asked in engine.requests)


# Votes


def concluding(vote):
    answers, engine, _ = run(script(lambda *_: "FINALISE", vote=vote), actors=3, stops=3, retries=1)
    return answers[0], engine


def test_all_participants_vote_and_the_conclusion_with_most_votes_is_the_answer():
    answer, engine = concluding({"a": "2", "b": "1", "c": "2"}.__getitem__)
    order = [one["participant"] for one in answer.record["board"]]
    assert answer.models == (MODELS[order[1]],)
    assert answer.text == f"{MODELS[order[1]]} does FINALISE"
    assert answer.record["votes"] == {"0": 1, "1": 0, "2": 1}
    assert {asked.model for asked in by_purpose(engine, "vote")} == set(MODELS)
    assert answer.fallback is None


def test_among_equals_the_conclusion_wins_that_was_voted_for_first():
    answer, _ = concluding({"a": "3", "b": "1", "c": "2"}.__getitem__)
    assert answer.record["participant"] == answer.record["board"][2]["participant"]


def test_who_gives_no_vote_abstains():
    answer, engine = concluding({"a": "9", "b": "none", "c": "3"}.__getitem__)
    assert answer.record["votes"] == {"2": 2}
    assert answer.record["participant"] == answer.record["board"][2]["participant"]
    assert len(by_purpose(engine, "vote")) == 3 + 2
    assert answer.fallback is None


def test_without_any_vote_the_first_conclusion_is_the_answer_and_it_is_counted():
    answer, _ = concluding("none")
    assert answer.record["participant"] == answer.record["board"][0]["participant"]
    assert answer.fallback == "no vote could be read"


# Prompts

BOARD = [Entry(1, 0, "PROPOSE", "- a plan\n\n- of lines"), Entry(2, 2, "EXECUTE", "some work")]


@pytest.mark.parametrize("kind", ["exact_match", "multiple_choice"])
def test_every_prompt_shows_the_problem_and_the_whole_board_of_which_only_what_was_written_may_shrink(kind):
    item = questions(1, kind)[0]
    above = header(item, BOARD)
    prompts = [
        select_prompt(above, 1, 3),
        *(execute_prompt(above, item, action, "because") for action in ACTIONS),
        vote_prompt(above, ["x", "y"]),
    ]
    extra = [[], *[["because"]] * 4, ["x", "y"]]
    for prompt, further in zip(prompts, extra, strict=True):
        assert prompt.count(blocks.question(item)) == 1
        assert prompt.startswith(above)
        assert shown(prompt)[:2] == [
            ("entry 1, iteration 1: PROPOSE by participant 1", BOARD[0].text),
            ("entry 2, iteration 2: EXECUTE by participant 3", BOARD[1].text),
        ]
        assert [part.text for part in prompt.parts if part.shrinks] == [BOARD[0].text, BOARD[1].text, *further]


def test_a_choice_names_all_actions_with_guidelines_and_one_line_to_end_with():
    prompt = select_prompt(header(questions(1)[0], []), 1, 3)
    assert "You are participant 2 of 3." in prompt
    assert "The board is still empty." in prompt
    assert all(action in prompt for action in ("PROPOSE", "EXECUTE", "CRITIQUE", "FINALISE"))
    assert "step by step" in prompt
    assert prompt.endswith("\nACTION: NAME")


def test_an_action_comes_with_its_reasons_and_instructions_and_a_conclusion_with_the_answer_format():
    item = questions(1)[0]
    above = header(item, BOARD)
    for action in ACTIONS:
        prompt = execute_prompt(above, item, action, "because\nACTION: X")
        assert shown(prompt)[-1] == ("why you chose", "because\nACTION: X")
        assert ACTIONS[action] in prompt
        assert prompt.endswith(blocks.answer_format("exact_match")) == (action == "FINALISE")
    assert "Do not solve" in ACTIONS["PROPOSE"]
    assert "CONCLUSION:" in ACTIONS["FINALISE"]
    for word in ("entries", "number", "wrong", "why", "better"):
        assert word in ACTIONS["CRITIQUE"]


def test_the_board_holds_what_was_done_and_not_why_it_was_chosen():
    _, engine, _ = run(script(lambda *_: "EXECUTE"), max_iterations=3)
    for asked in engine.requests:
        for title, text in shown(asked.prompt):
            assert (text == "I think.\nACTION: EXECUTE") == (title == "why you chose")


# In company


def test_items_together_and_one_by_one_give_equal_boards():
    greedy, items = Decoding(max_new_tokens=16, temperature=0), questions(5)
    params = {"models": MODELS, "replies": varied, "decoding": greedy}
    together = answered(ID, {"actors": 2, "stops": 2}, items=items, **params)[0]
    alone = [answered(ID, {"actors": 2, "stops": 2}, items=[item], **params)[0][0] for item in items]
    assert sorted(together, key=lambda one: one.uid) == alone
    assert len({len(one.record["board"]) for one in alone}) > 1


def test_the_best_on_dev_is_learnt_and_the_first_of_equals():
    method = make_method(ID, {})
    assert World(MODELS, dev_scores={"a": 0.2, "b": 0.7, "c": 0.7}).fit(method).data["member"] == 1


def test_no_plain_response_is_read():
    engine = Engine(script(lambda *_: "FINALISE"))
    run(engine)
    assert engine.reads == []
