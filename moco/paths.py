"""Where every artifact lives below `results/`: the one place that knows, for rules and for verbs.

All functions return paths relative to the results folder. Arguments may be Snakemake wildcards such as `{model}`.
"""

BLOCKS = ((0, 0), (1, 4), (5, 7), (8, 15), (16, 31))
"""First and last sample index of each block; a job makes a whole block."""


def task_folder(task: str) -> str:
    """Folder of a prepared task."""
    return f"tasks/{task}"


def task_json(task: str) -> str:
    """Description of a prepared task."""
    return f"{task_folder(task)}/task.json"


def questions(task: str, split: str) -> str:
    """Questions of a split: what models and methods see."""
    return f"{task_folder(task)}/{split}/questions.parquet"


def references(task: str, split: str) -> str:
    """References of a split: what scorers see."""
    return f"{task_folder(task)}/{split}/references.parquet"


def dropped(task: str) -> str:
    """Items of the source that the task leaves out, with reasons."""
    return f"{task_folder(task)}/dropped.parquet"


def model_json(model: str) -> str:
    """A resolved model."""
    return f"models/{model}/model.json"


def recipe_json(model: str) -> str:
    """Recipe of a model that a fit made."""
    return f"models/{model}/recipe.json"


def checkpoint(model: str) -> str:
    """Weights of a merged or zoo model."""
    return f"checkpoints/{model}"


def generation(model: str, task: str, split: str, decoding: str, seed: object, sample: object) -> str:
    """Plain responses with one sample index."""
    return f"generations/{model}/{task}/{split}/{decoding}/seed{seed}/s{sample}.parquet"


def logits(kind: str, model: str, task: str, split: str, decoding: str, seed: object, sample: object) -> str:
    """Cached logits of a kind: `options` of multiple choice items, `reference` answers, or the plain `response`.

    Decoding, seed and sample matter for responses only.
    """
    folder = f"logits/{model}/{task}/{split}"
    return (
        f"{folder}/response/{decoding}/seed{seed}/s{sample}.parquet"
        if kind == "response"
        else f"{folder}/{kind}.parquet"
    )


def fit_folder(pool: str, task: str, method: str, seed: object) -> str:
    """A fitted method."""
    return f"fits/{pool}/{task}/{method}/seed{seed}"


def answers(pool: str, task: str, method: str, seed: object, split: str) -> str:
    """Answers of a method."""
    return f"answers/{pool}/{task}/{method}/seed{seed}/{split}.parquet"


def calls(pool: str, task: str, method: str, seed: object, split: str) -> str:
    """Every call that the answers rest on."""
    return f"answers/{pool}/{task}/{method}/seed{seed}/{split}_calls.parquet"


def costs(pool: str, task: str, method: str, seed: object, split: str) -> str:
    """Attributed cost of the answers and of the fit behind them, by model."""
    return f"answers/{pool}/{task}/{method}/seed{seed}/{split}_costs.parquet"


def scores(scorer: str, path: str) -> str:
    """Scores of a generations or answers file."""
    return f"scores/{scorer}/{path}"


def table(name: str, suffix: str) -> str:
    """A table."""
    return f"tables/{name}.{suffix}"


def figure(name: str, suffix: str) -> str:
    """A figure."""
    return f"figures/{name}.{suffix}"


def perf(path: str) -> str:
    """Times and paid cost beside a Parquet file."""
    return path.removesuffix(".parquet") + "_perf.parquet"


def job_perf(path: str) -> str:
    """What each model did in a job, beside the job's first Parquet file."""
    return path.removesuffix(".parquet") + "_job_perf.parquet"


def fitted_model(pool: str, task: str, method: str, seed: object, name: str) -> str:
    """Slug of a model that a fit makes; user slugs contain no `--`."""
    return f"{pool}--{task}--{method}--s{seed}--{name}"
