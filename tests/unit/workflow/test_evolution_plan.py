"""What the rules of the loop read: by variant, lineage and protocol."""

import pytest
from support.plans import job, plan

from moco.errors import RequestError
from moco.methods.base import PoolInfo
from moco.methods.catalogue import make_method
from moco.workflow.downstream import RULES
from moco.workflow.stage import results

TASK = {"source": {"kind": "synthetic", "skills": ["add"], "items": {"dev": 8, "test": 4}}}
LORA = {
    "base": {"kind": "zoo"},
    "a": {"kind": "zoo", "recipe": "lora_add"},
    "b": {"kind": "zoo", "recipe": "lora_recall"},
}


MODELS = {"a": {"kind": "zoo", "recipe": "add"}, "b": {"kind": "zoo", "recipe": "recall"}}
METHODS = {name: {} for name in ("text_majority_vote", "logit_logit_fusion", "weight_greedy_soup")}
METHODS |= {"second": {"method": "control_best_single", "member": 2}}


def loop(task=None, models=None, pools=None, **entry):
    entry = {"pool": "p", "methods": ["text_majority_vote"], "tasks": ["t"], "rounds": 2, **entry}
    return plan(
        seeds=[1],
        **({"models": models} if models else {}),
        **({"pools": pools} if pools else {}),
        tasks={"t": {**TASK, "distill": 0.5, **(task or {})}},
        methods=METHODS,
        compare=[{"methods": ["text_majority_vote"]}],
        evolution={"e": entry},
    )


def of_round(made, number):
    [name] = made.matrix.rounds.runs
    return job(run=name, round=str(number))


def inputs(made, stage, number):
    """Return the inputs of a rule of a round, by name."""
    found = {}
    for name in RULES[stage][1]:
        files = getattr(getattr(made, stage), name)(of_round(made, number))
        found[name] = [path.removeprefix("<results>/") for path in ([files] if isinstance(files, str) else files)]
    return found


def mixing(made, number=1):
    return [path for files in inputs(made, "mix", number).values() for path in files]


def test_supervised_students_read_the_collaborations_answers_and_their_scores():
    made = loop()
    [run] = made.matrix.rounds.runs.values()
    first = inputs(made, "mix", 1)
    assert first["answers"] == [
        f"answers/p/{made.matrix.rounds.batch(run, 0).name}/text_majority_vote/seed1/{file}.parquet"
        for file in ("distill", "distill_calls")
    ]
    assert first["scores"] == [f"scores/strict/{first['answers'][0]}"]
    assert first["own"] == first["references"] == []
    assert f"answers/{run.pool(1)}/" in inputs(made, "mix", 2)["answers"][0]


def test_a_job_names_no_files_that_it_does_not_read():
    supervised = loop().mix.slice(of_round(loop(), 1))
    assert supervised["own"] == supervised["chosen"] == []
    tokens = loop(variants=["on_policy"], methods=["logit_logit_fusion"])
    assert "answers" not in tokens.mix.slice(of_round(tokens, 1))


def test_a_mixture_reads_the_replies_of_all_students_and_the_scores_of_their_dev_replies():
    made = loop(variants=["multi_student"])
    [run] = made.matrix.rounds.runs.values()
    found = inputs(made, "mix", 2)
    students = run.models(1)
    assert [path.split("/")[1:4:2] for path in found["own"]] == [[name, "distill"] for name in students]
    chosen = [path for path in found["scores"] if "/dev/" in path]
    assert [path.split("/")[3] for path in chosen] == list(students)
    assert len(found["scores"]) == 1 + 2 + 2


@pytest.mark.parametrize("variant", ["supervised", "multi_student"])
def test_nothing_of_the_test_split_is_learnt_from(variant):
    made = loop(variants=[variant], mix={"gold": 1.0})
    assert [path for number in (1, 2) for path in mixing(made, number) if "test" in path.split("/")[-3:]] == []
    assert not any("test" in path for number in (1, 2) for path in mixing(made, number))


def test_upstream_teaches_on_dev_and_learns_and_chooses_from_test():
    made = loop(variants=["multi_student"], protocol="upstream", task={"distill": 0.0})
    found = inputs(made, "mix", 1)
    assert found["answers"][0].endswith("seed1/dev.parquet")
    assert all("/test/" in path for path in found["own"])
    assert [path for path in found["scores"] if "/dev/" in path] == []
    assert made.mix.slice(of_round(made, 1))["protocol"] == "upstream"


def test_references_are_read_where_they_are_taught_and_the_collaboration_where_it_teaches():
    made = loop(variants=["multi_student"], mix={"teach": 0, "self": 0, "best": 0, "gold": 1})
    assert mixing(made) == ["tasks/t/distill/questions.parquet", "tasks/t/distill/references.parquet"]


def test_copies_of_a_model_learn_from_samples_of_their_own():
    made = loop(variants=["multi_student"], pools={"p": ["a", "a"]})
    own = made.mix.slice(of_round(made, 1))["own"]
    assert [(path.rpartition("/")[2], sample) for path, sample in own] == [("s0.parquet", 0), ("s1-4.parquet", 1)]
    assert len(inputs(made, "mix", 2)["own"]) == 2


@pytest.mark.parametrize(
    ("lineage", "parents"),
    [
        ("continue", [["a", "b"], ["r1--1", "r1--2"]]),
        ("continue_same", [["a", "b"], ["r1--1", "r1--2"]]),
        ("reset", [["base", "base"], ["base", "base"]]),
    ],
)
def test_what_a_round_trains_follows_from_the_lineage(lineage, parents):
    made = loop(models=LORA, lineage=lineage, training={"rank": 4})
    slices = [made.distill.slice(of_round(made, number)) for number in (1, 2)]
    assert [[name.partition("-s1--")[2] or name for name in each["parents"]] for each in slices] == parents
    assert {each["lineage"] for each in slices} == {lineage}
    for number, each in enumerate(slices, start=1):
        names = each["students"]
        assert [made.matrix.rounds.students[name].parent for name in names] == each["parents"]
        assert results("checkpoints/base") in made.distill.checkpoints(of_round(made, number))


def test_reset_starts_at_the_model_itself_where_it_is_no_adapter():
    made = loop(lineage="reset")
    assert made.distill.slice(of_round(made, 2))["parents"] == ["a", "b"]


def test_adapters_of_students_rest_on_the_base_of_the_first_model():
    made = loop(models=LORA, training={"rank": 4})
    student = made.matrix.rounds.runs[next(iter(made.matrix.rounds.runs))].models(2)[0]
    assert made.matrix.nodes.base(student) == "base"
    assert made.generate.weights([student])[0] == results("checkpoints/base")
    assert made.resolve.checkpoint(job(model=student))[0].endswith("r2/students")
    whole = loop(models=LORA)
    assert whole.matrix.nodes.base(student) is None


def test_settings_that_change_what_is_learnt_change_the_jobs_of_rounds():
    def digests(**entry):
        made = loop(variants=["multi_student"], **entry)
        return [made.mix.digest(of_round(made, 1)), made.distill.digest(of_round(made, 1))]

    plain = digests()
    for change in ({"filter": "correct"}, {"dedupe": True}, {"mix": {"teach": 0.5}}):
        assert digests(**change)[0] != plain[0], change
    assert digests(lineage="reset")[1] != plain[1]


# Variant on_policy


def test_on_policy_students_get_prompts_and_the_logits_of_all_members():
    made = loop(variants=["on_policy"], methods=["logit_logit_fusion"], on_policy={"rank": 4})
    [run] = made.matrix.rounds.runs.values()
    assert mixing(made, 2) == ["tasks/t/distill/questions.parquet"]
    found = made.distill.slice(of_round(made, 2))
    assert found["teacher"] == {"models": list(run.models(1)), "weights": [0.5, 0.5]}
    assert (found["kind"], found["training"]["max_new_tokens"]) == ("on_policy", 512)
    assert inputs(made, "distill", 2)["models"] == [f"models/{name}/model.json" for name in run.models(1)]


def test_a_merge_teaches_as_the_model_that_it_is_with_the_pool_of_the_round():
    made = loop(variants=["on_policy"], methods=["weight_greedy_soup"])
    [run] = made.matrix.rounds.runs.values()
    soups = ["p--t--weight_greedy_soup--s1--soup", f"{run.pool(1)}--t--weight_greedy_soup--s1--soup"]
    for number, soup in enumerate(soups, start=1):
        assert made.distill.slice(of_round(made, number))["teacher"] == {"models": [soup], "weights": [1.0]}
        assert results(f"checkpoints/{soup}") in made.distill.checkpoints(of_round(made, number))
        assert f"models/{soup}/model.json" in inputs(made, "distill", number)["models"]


def test_a_declared_member_teaches_alone_and_reads_no_dev():
    made = loop(variants=["on_policy"], methods=["second"])
    [run] = made.matrix.rounds.runs.values()
    for number in (1, 2):
        found = made.distill.slice(of_round(made, number))
        assert found["teacher"] == {"models": [run.models(number - 1)[1]], "weights": [1.0]}
    assert made.matrix.needs("p", "second").fit is None
    chooser = make_method("control_best_single", {}, where="methods.best")
    assert chooser.token_teacher(PoolInfo.of_size(2)) is None


def test_no_member_learns_token_by_token_from_one_of_another_vocabulary():
    models = {**MODELS, "b": {"kind": "zoo", "recipe": "neox"}}
    with pytest.raises(RequestError, match="second cannot teach pool p: models must share one tokenizer"):
        loop(variants=["on_policy"], methods=["second"], models=models)


def test_a_method_without_a_distribution_of_its_own_is_refused_in_one_line():
    with pytest.raises(RequestError) as error:
        loop(variants=["supervised", "on_policy"]).matrix.rounds.cells  # noqa: B018
    assert "text_majority_vote cannot teach pool p: it has no next-token distribution" in str(error.value)
    chooser = make_method("logit_logit_fusion", {"mode": "options"}, where="methods.fuse")
    assert chooser.token_teacher(PoolInfo.of_size(2)) is None


def test_a_student_needs_memory_for_itself_and_its_teachers():
    models = {name: {"kind": "hub", "repo": f"x/{name}", "parameters": 1e9} for name in ("a", "b")}
    alone, taught = (
        loop(models=models, variants=[variant], methods=["logit_logit_fusion"])
        for variant in ("supervised", "on_policy")
    )
    assert alone.distill.mem(of_round(alone, 1), 1) == "28GB"  # 4 + 1.5 x 16
    bytes_of_teacher = taught.matrix.nodes.gigabytes("a")
    assert taught.distill.mem(of_round(taught, 1), 1) == f"{int(4 + 1.5 * (16 + 2 * bytes_of_teacher))}GB"


# What is collected


def test_baselines_are_asked_with_the_pool_of_round_0_and_collected_with_the_rounds():
    made = loop(baselines=["weight_greedy_soup"])
    [cell] = made.matrix.rounds.baselines
    assert (cell.pool, cell.variant, made.matrix.batch(cell.batch).tasks) == ("p", "weight_greedy_soup", ("t",))
    collected = made.collect.entries("evolution")
    assert [(each["name"], each["pool"], each["tasks"]) for each in collected][-1] == ("weight_greedy_soup", "p", ["t"])
    assert {each["method"] for each in made.tabulate.slice(job(table="evo_main"))["evolution"]["baselines"]} == {
        "weight_greedy_soup"
    }


def test_a_baseline_that_cannot_be_compared_is_refused_in_one_line():
    with pytest.raises(RequestError, match="weight_greedy_soup cannot be compared on task t with pool p"):
        loop(baselines=["weight_greedy_soup"], models={**MODELS, "b": {"kind": "zoo", "recipe": "neox"}})


def test_runs_that_share_round_0_are_collected_once_there():
    made = loop(variants=["supervised", "multi_student"])
    collected = [(each["kind"], each["pool"], each["name"]) for each in made.collect.entries("evolution")]
    assert len(collected) == len(set(collected)) == 3 + 2 * 2 * 3
    assert collected.count(("single", "p", "a")) == 1


def test_no_round_is_the_benchmark_and_asks_for_nothing_else():
    made = loop(rounds=0)
    compared, rounds = (made.collect.entries(part) for part in ("benchmark", "evolution"))
    files = [
        {(each["kind"], each["name"], each["replies"], *each["scores"].values()) for each in part}
        for part in (compared, rounds)
    ]
    assert files[1] == files[0]
    assert made.collect.rounds == []


def test_rounds_name_what_they_cost():
    made = loop(variants=["multi_student"])
    first = made.collect.rounds[0]
    assert first["read"]["answers"].endswith("/text_majority_vote/seed1/distill_costs.parquet")
    assert sorted((path.split("/")[3], model, sample) for model, path, sample in first["own"]) == [
        (split, model, 0) for split in ("dev", "distill") for model in ("a", "b")
    ]
    students = [path for path in made.collect.learnt(job(part="evolution")) if path.endswith("/students")]
    assert len(students) == 2
    assert made.collect.learnt(job(part="benchmark")) == []


def test_tables_of_the_benchmark_know_nothing_of_the_loop():
    short, long = loop(rounds=1), loop(rounds=2)
    for table in ("moco_main", "moco_cost"):
        assert "evolution" not in short.tabulate.slice(job(table=table))
        assert all("/benchmark/" in path for path in short.tabulate.inputs(job(table=table)))
    assert all("/evolution/" in path for path in short.tabulate.inputs(job(table="evo_main")))
    assert all("/evolution/" in path for path in short.tabulate.drawn(job(figure="evo_rounds")))
    assert short.tabulate.digest(job(table="evo_main")) != long.tabulate.digest(job(table="evo_main"))
    assert "evolution" in short.report.slice(job())
