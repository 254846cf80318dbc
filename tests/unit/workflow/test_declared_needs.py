"""What the plan makes of the needs that methods declare: one fit for all tasks, helpers, and models that fits make."""

import re

import pytest
from support.plans import SKILLS, batch_of, job, plan

from moco import paths
from moco.config.load import study_from
from moco.methods.base import Answer, AnswerNeeds, FitNeeds, Helper, Method, Needs, method
from moco.workflow.check import machine_problems, structural_problems
from moco.workflow.plan import WILDCARDS

pytestmark = pytest.mark.usefixtures("clean_environment", "registries")

MODELS = {
    "a": {"kind": "zoo", "recipe": "add", "parameters": 1e9, "gpus": 1},
    "b": {"kind": "zoo", "recipe": "recall", "parameters": 2e9, "gpus": 1},
    "vectors": {"kind": "zoo", "recipe": "encoder", "parameters": 4e9, "gpus": 3},
    "root": {"kind": "zoo", "recipe": "base", "parameters": 8e9, "gpus": 4},
}
TASKS = {
    "t": {"source": SKILLS},
    "u": {"source": {**SKILLS, "seed": 7}},
    "q": {"source": {**SKILLS, "form": "choice"}, "decoding": "short"},
}
DECODING = {"default": {}, "short": {"max_new_tokens": 3}}


def probe(**needs) -> None:
    """Register method `text_probe` with these needs."""

    @method("text_probe", level="text", papers=("2203.11171",))
    class _Probe(Method):
        """Declares needs and does nothing."""

        def needs(self, _pool):
            return Needs(**needs)

        def answer(self, _ctx, _state):
            yield Answer("", "")


def probed(**changes):
    content = {"models": MODELS, "tasks": TASKS, "decoding": DECODING, "methods": {"text_probe": {}}, **changes}
    return plan(**content)


def whole(**more):
    return job(batch=paths.ALL, method="text_probe", **more)


def test_a_fit_of_scope_pool_reads_all_that_its_variant_is_asked_on_and_serves_every_answer():
    fit = FitNeeds(splits=("dev",), plain=1, dev_scores=True, references=True, logits=("response",))
    probe(fit=fit, fit_scope="pool", answer=AnswerNeeds(plain=1))
    made = probed()
    exact, choice = batch_of(made, "t", "u"), batch_of(made, "q")
    tasks = [f"<results>/tasks/{task}/dev" for task in "tuq"]
    assert made.fit.questions(whole()) == [f"{task}/questions.parquet" for task in tasks]
    assert made.fit.references(whole()) == [f"{task}/references.parquet" for task in tasks]
    plain = [f"generations/{model}/{batch}/dev/seed1/s0.parquet" for batch in (exact, choice) for model in "ab"]
    assert made.fit.plain(whole()) == [f"<results>/{path}" for path in plain]
    assert made.fit.scores(whole()) == [f"<results>/scores/strict/{path}" for path in plain]
    assert made.fit.logits(whole()) == [
        f"<results>/logits/{model}/{batch}/dev/response/seed1/s0.parquet" for batch in (exact, choice) for model in "ab"
    ]
    for batch in (exact, choice):
        assert made.answer.fit(job(batch=batch, method="text_probe")) == ["<results>/fits/p/_all/text_probe/seed1"]
    assert re.fullmatch(WILDCARDS["batch"], paths.ALL)
    measured = [entry["path"] for entry in made.collect.work(paths.BENCHMARK)]
    assert measured.count("fits/p/_all/text_probe/seed1_job_perf.parquet") == 1
    assert not [path for path in measured if path.startswith("fits/") and paths.ALL not in path]


def test_the_slice_of_a_fit_of_scope_pool_holds_every_batch_as_it_is_asked():
    probe(fit=FitNeeds(references=True), fit_scope="pool")
    made = probed()
    spec = made.fit.slice(whole())
    parts = {name: sorted(part["tasks"]) for name, part in spec["batches"].items()}
    assert parts == {batch_of(made, "t", "u"): ["t", "u"], batch_of(made, "q"): ["q"]}
    assert sorted(spec["tasks"]) == ["q", "t", "u"]
    lengths = {name: part["decoding"]["max_new_tokens"] for name, part in spec["batches"].items()}
    assert lengths[batch_of(made, "q")] == 3 != lengths[batch_of(made, "t", "u")]
    sources = {part["scorer_source"] for part in spec["batches"].values()}
    assert len(sources) == 2, "each type is scored by its own code"


def test_a_task_more_or_another_parameter_changes_a_fit_of_scope_pool_and_another_pool_does_not():
    probe(fit=FitNeeds(plain=1), fit_scope="pool", answer=AnswerNeeds(plain=1))
    usual = probed(tasks={"t": TASKS["t"]})
    more = probed(tasks={"t": TASKS["t"], "q": TASKS["q"]})
    assert usual.fit.digest(whole()) != more.fit.digest(whole())
    one = job(batch=batch_of(usual, "t"), method="text_probe")
    assert usual.answer.digest(one) == more.answer.digest(one), "its input is another one, its settings are not"
    pools = {"p": ["a", "b"], "other": ["b", "a"]}
    assert probed(tasks={"t": TASKS["t"]}, pools=pools).fit.digest(whole()) == usual.fit.digest(whole())
    where = [{"pools": ["p"], "tasks": ["t"]}, {"pools": ["other"], "tasks": ["t", "q"]}]
    apart = probed(pools=pools, compare=where)
    assert apart.fit.questions(whole()) == usual.fit.questions(whole())
    assert len(apart.fit.questions(whole(pool="other"))) == 2


def test_rounds_of_the_loop_count_among_what_a_pool_is_asked_on():
    probe(fit=FitNeeds(plain=1), fit_scope="pool", answer=AnswerNeeds(plain=1))
    tasks = {"t": TASKS["t"], "evo": {"source": "t", "distill": 0.5}}
    loop = {"pool": "p", "methods": ["text_probe"], "tasks": ["evo"], "rounds": 1}
    made = probed(tasks=tasks, compare=[{"tasks": ["t"]}], evolution={"loop": loop})
    read = made.fit.questions(whole())
    assert read == ["<results>/tasks/t/dev/questions.parquet", "<results>/tasks/evo/dev/questions.parquet"]
    run = next(iter(made.matrix.rounds.runs.values()))
    later = made.fit.questions(whole(pool=run.pool(1)))
    assert later == ["<results>/tasks/evo/dev/questions.parquet"]


def test_a_model_that_a_fit_of_scope_pool_makes_is_one_for_all_tasks():
    probe(
        fit=FitNeeds(references=True, merges=True),
        fit_scope="pool",
        models=("joint",),
        answer=AnswerNeeds(fitted_plain=1),
    )
    made = probed(pools={"p": ["a", "b"], "with": ["a", "p--_all--text_probe--s1--joint"]})
    slug = "p--_all--text_probe--s1--joint"
    assert slug in made.matrix.made
    assert re.fullmatch(WILDCARDS["model"], slug)
    fit = "<results>/fits/p/_all/text_probe/seed1"
    assert (made.merge.fit(job(model=slug)), made.resolve.fit(job(model=slug))) == (fit, [fit])
    assert made.merge.slice(job(model=slug))["task"] == paths.ALL
    for tasks in (("t", "u"), ("q",)):
        batch = batch_of(made, *tasks)
        where = job(batch=batch, method="text_probe")
        assert made.answer.made_plain(where) == [f"<results>/generations/{slug}/{batch}/test/seed1/s0.parquet"]
        assert made.answer.slice(where)["made"] == {task: {"joint": slug} for task in tasks}
    assert slug in made.matrix.kept
    assert structural_problems(made.study) == []
    assert f"<results>/models/{slug}/model.json" in made.answer.models(
        job(pool="with", batch=batch_of(made, "q"), method="text_probe")
    )


@pytest.mark.parametrize("scope", ["task", "pool"])
def test_a_model_that_a_fit_made_is_an_input_of_the_answers_that_ask_it(scope):
    probe(
        fit=FitNeeds(trains=True),
        fit_scope=scope,
        models=("pupil",),
        answer=AnswerNeeds(generates=True),
    )
    made = probed()
    where = job(batch=batch_of(made, "t", "u"), method="text_probe")
    slugs = [f"p--{task}--text_probe--s1--pupil" for task in (("t", "u") if scope == "task" else ("_all",))]
    assert set(slugs) <= set(made.matrix.made)
    assert made.answer.models(where)[-len(slugs) :] == [f"<results>/models/{slug}/model.json" for slug in slugs]
    assert made.answer.checkpoints(where) == [
        *("<results>/checkpoints/a", "<results>/checkpoints/b"),
        *(f"<results>/checkpoints/{slug}" for slug in slugs),
    ]
    assert made.answer.made_plain(where) == []


def test_live_models_of_a_fit_and_made_ones_of_an_answer_are_in_memory_together():
    probe(fit=FitNeeds(live=True, references=True, merges=True), models=("pupil",), answer=AnswerNeeds(live=True))
    made = probed(tasks={"t": TASKS["t"]}, site={"use_gpu": True})
    where = job(batch=batch_of(made, "t"), method="text_probe")
    assert made.fit.gpu(where) == 2
    assert made.fit.mem(where, 1) == "40GB", "1 and 2 billion numbers of 8 bytes, half as much again, and 4 GB"
    assert made.answer.gpu(where) == 3
    assert made.answer.mem(where, 1) == "64GB", "the pupil is as large as the largest that it may come from"


def test_training_takes_room_for_gradients_and_averages():
    probe(fit=FitNeeds(trains=True), models=("pupil",))
    made = probed(tasks={"t": TASKS["t"]})
    where = job(batch=batch_of(made, "t"), method="text_probe")
    assert made.fit.mem(where, 1) == "52GB", "2 billion parameters of 16 bytes, half as much again, and 4 GB"


def test_helpers_that_are_asked_are_inputs_and_need_memory_and_those_with_weights_alone_are_parts():
    encoder = Helper("vectors", frozenset({"embed"}))
    probe(
        fit=FitNeeds(generates=True),
        helpers={"encoder": encoder, "base": Helper("root", frozenset({"weights"}))},
        answer=AnswerNeeds(generates=True),
        models=(),
    )
    made = probed(tasks={"t": TASKS["t"]}, site={"use_gpu": True})
    where = job(batch=batch_of(made, "t"), method="text_probe")
    checkpoints = [f"<results>/checkpoints/{name}" for name in ("a", "b", "vectors")]
    described = [f"<results>/models/{name}/model.json" for name in ("a", "b", "vectors", "root")]
    for stage in (made.fit, made.answer):
        assert stage.models(where) == described
        assert stage.checkpoints(where) == checkpoints
        assert (stage.gpu(where), stage.mem(where, 1)) == (3, "52GB")
    assert made.matrix.parts("p", "text_probe") == ["a", "b", "root"]
    assert not made.matrix.not_applicable, "an encoder needs no weights and shares no architecture"


@pytest.mark.parametrize(
    ("model", "offer", "lacking"),
    [
        ("vectors", "generate", "replies"),
        ("vectors", "reward", "rewards"),
        ("a", "embed", "embeddings"),
        ("far", "weights", "weights"),
        ("far", "logits", "logits"),
        ("a", "generate", None),
        ("vectors", "embed", None),
        ("judge", "reward", None),
        ("far", "generate", None),
    ],
)
def test_check_says_what_a_helper_does_not_offer(model, offer, lacking):
    probe(helpers={"tutor": Helper(model, frozenset({offer}))})
    models = {
        **MODELS,
        "judge": {"kind": "local", "path": "/nowhere", "purpose": "reward"},
        "far": {"kind": "server", "endpoint": "https://far/v1", "name": "x", "date": "2026-01-01"},
    }
    content = {"study": "s", "models": models, "pools": {"p": ["a", "b"]}, "tasks": {"t": TASKS["t"]}}
    study = study_from({**content, "methods": {"text_probe": {}}}, "s.yaml")
    found = [problem for problem in structural_problems(study) if problem.key == "methods.text_probe"]
    if lacking is None:
        assert found == []
        return
    [problem] = found
    kind = models[model]["kind"]
    assert problem.what == f"takes {model} for its tutor, which is a {kind} model without {lacking}"
    assert "\n" not in problem.remedy


CORPORA = {"wiki": {"path": "/nowhere/wiki.jsonl"}, "news": {"path": "/nowhere/news.csv", "columns": ["body"]}}


def test_a_corpus_is_an_input_of_the_fit_that_reads_it_and_its_declaration_decides_it():
    probe(fit=FitNeeds(corpora=("wiki",)))
    made = probed(corpora=CORPORA)
    where = job(batch=batch_of(made, "q"), method="text_probe")
    assert made.fit.corpora(where) == ["/nowhere/wiki.jsonl"]
    assert list(made.fit.slice(where)["corpora"]) == ["wiki"]
    changed = {**CORPORA, "wiki": {**CORPORA["wiki"], "columns": ["title"]}}
    assert probed(corpora=changed).fit.digest(where) != made.fit.digest(where)
    other = {**CORPORA, "news": {"path": "/elsewhere.csv"}}
    assert probed(corpora=other).fit.digest(where) == made.fit.digest(where)


def study_of(**changes):
    content = {"study": "s", "models": MODELS, "pools": {"p": ["a", "b"]}, "tasks": {"t": TASKS["t"]}}
    return study_from({**content, "methods": {"text_probe": {}}, **changes}, "s.yaml")


def test_check_refuses_a_corpus_that_the_study_does_not_list():
    probe(fit=FitNeeds(corpora=("wiki", "wikis")))
    [problem] = structural_problems(study_of(corpora=CORPORA))
    assert (problem.key, problem.what) == (
        "methods.text_probe",
        "reads corpus 'wikis', which this study does not list",
    )
    assert "wiki" in problem.remedy


def test_check_says_that_the_file_of_a_corpus_is_missing(tmp_path):
    probe(fit=FitNeeds(corpora=("wiki",)))
    there = tmp_path / "there.jsonl"
    there.write_text('{"text": "x"}\n')
    corpora = {"wiki": {"path": str(there)}, "news": CORPORA["news"]}
    found = machine_problems(study_of(corpora=corpora), tmp_path)
    assert [(each.key, each.what) for each in found if each.key.startswith("corpora")] == [
        ("corpora.news.path", "/nowhere/news.csv does not exist")
    ]


def test_the_code_of_training_decides_fits_that_train_and_no_others():
    probe(fit=FitNeeds(trains=True), models=("pupil",))
    made = probed(methods={"text_probe": {}, "control_best_single": {}})
    found = {name: made.fit.slice(job(batch=batch_of(made, "q"), method=name)) for name in made.matrix.variants}
    assert {name for name, spec in found.items() if "training_source" in spec} == {"text_probe"}
    slug = "p--q--text_probe--s1--pupil"
    assert made.generate.checkpoints(job(model=slug)) == [
        f"<results>/checkpoints/{name}" for name in ("a", "b", slug)
    ], "an adapter that was trained rests on one of these"
