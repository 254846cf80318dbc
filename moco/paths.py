"""Where every artifact of a study lies below its results folder: the one place that knows, for rules and for verbs.

All functions return paths relative to the results folder, `results/{study}` by default. Arguments may be Snakemake
wildcards such as `{model}`. A *batch* is a set of tasks that are worked on in one job and share one file
(`moco.workflow.matrix`); a *block* is a range of sample indices.
"""

BENCHMARK = "benchmark"
"""The part of a study that its comparisons make."""
EVOLUTION = "evolution"
"""The part that the rounds of the loop make."""
ALL = "_all"
"""Stands for the batch and the task of a fit that serves all tasks of its pool; no task or batch has such a name."""

TRAINING, CURVE = "training.json", "curve.parquet"
"""In the folder of a trained model: its training in sum, and by step."""
DISTANCES = "distances.json"
"""Beside the students of a round: how far adapters are from each other, of the pools before and after it."""

_FIRST_BLOCKS = ((0, 0), (1, 4), (5, 7))
"""First and last sample index of the first blocks; from 8 on, each block is as long as all before it."""


def block_range(sample: int) -> range:
    """Return the sample indices of the block that a sample is made in: 0, 1-4, 5-7, 8-15, then doubling."""
    for first, last in _FIRST_BLOCKS:
        if first <= sample <= last:
            return range(first, last + 1)
    first = 1 << (sample.bit_length() - 1)
    return range(first, 2 * first)


def block_of(sample: int) -> str:
    """Return the name of the block that a sample is made in, such as `s0` or `s8-15`."""
    samples = block_range(sample)
    return f"s{samples[0]}" if len(samples) == 1 else f"s{samples[0]}-{samples[-1]}"


def block_samples(block: str) -> range:
    """Return the sample indices of a block by its name.

    Raises:
        RequestError: No block has this name.
    """
    first = block.removeprefix("s").partition("-")[0]
    if first.isascii() and first.isdecimal() and block == block_of(int(first)):
        return block_range(int(first))
    from moco.errors import RequestError

    raise RequestError(f"{block!r} is no block of samples", remedy="write s0, s1-4, s5-7, s8-15, s16-31, and so on")


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


def tuned(model: str) -> str:
    """Weights of a model that the study tunes itself, with what it learnt."""
    return f"tuned/{model}"


def checkpoint(model: str) -> str:
    """Weights of a zoo model, or of one that a fit made."""
    return f"checkpoints/{model}"


def generation(model: str, batch: str, split: str, seed: object, block: str) -> str:
    """Plain responses of a block of samples."""
    return f"generations/{model}/{batch}/{split}/seed{seed}/{block}.parquet"


def logits(kind: str, model: str, batch: str, split: str) -> str:
    """Cached logits of `options` of multiple choice items, or of `reference` answers."""
    return f"logits/{model}/{batch}/{split}/{kind}.parquet"


def response_logits(model: str, batch: str, split: str, seed: object, block: str) -> str:
    """Cached logits of the plain responses of a block of samples."""
    return f"logits/{model}/{batch}/{split}/response/seed{seed}/{block}.parquet"


def fit_folder(pool: str, batch: str, method: str, seed: object) -> str:
    """What a method learned on a batch, in one folder per task; on all batches of its pool, where `batch` is `ALL`."""
    return f"fits/{pool}/{batch}/{method}/seed{seed}"


def answers(pool: str, batch: str, method: str, seed: object, split: str) -> str:
    """Answers of a method."""
    return f"answers/{pool}/{batch}/{method}/seed{seed}/{split}.parquet"


def calls(pool: str, batch: str, method: str, seed: object, split: str) -> str:
    """Every call that the answers rest on."""
    return f"answers/{pool}/{batch}/{method}/seed{seed}/{split}_calls.parquet"


def costs(pool: str, batch: str, method: str, seed: object, split: str) -> str:
    """Attributed cost of the answers and of the fit behind them, by model."""
    return f"answers/{pool}/{batch}/{method}/seed{seed}/{split}_costs.parquet"


def scores(scorer: str, path: str) -> str:
    """Scores of a generations or answers file."""
    return f"scores/{scorer}/{path}"


def collected(part: str, name: str) -> str:
    """All `scores`, `costs` or `jobs_perf` of a part of the study, in one long file."""
    return f"analysis/{part}/{name}.parquet"


def table(name: str, suffix: str) -> str:
    """A table."""
    return f"tables/{name}.{suffix}"


def figure(name: str, suffix: str) -> str:
    """A figure."""
    return f"figures/{name}.{suffix}"


def perf(path: str) -> str:
    """Times and paid cost of every reply, beside a job's Parquet file."""
    return path.removesuffix(".parquet") + "_perf.parquet"


def job_perf(path: str) -> str:
    """What each model did in a job, beside the job's Parquet file."""
    return path.removesuffix(".parquet") + "_job_perf.parquet"


def fitted_model(pool: str, task: str, method: str, seed: object, name: str) -> str:
    """Slug of a model that a fit makes, for a task or for `ALL`; user slugs contain no `--`."""
    return short_slug(f"{pool}--{task}--{method}--s{seed}--{name}")


LONGEST_SLUG = 100
"""Characters of a derived slug, which is a folder's name."""


def short_slug(slug: str, longest: int = LONGEST_SLUG) -> str:
    """Return a derived slug as it is used in paths: one that is too long is cut and ends in a digest of the whole."""
    if len(slug) <= longest:
        return slug
    from moco.digest import digest

    return f"{slug[: longest - 9].rstrip('-')}-{digest(slug)[:8]}"


def mixture(run: str, number: object) -> str:
    """What the students of a round learn from."""
    return f"evolution/{run}/r{number}/mix.parquet"


def students(run: str, number: object) -> str:
    """The students of a round, one folder each, numbered from 1 in the order of the pool."""
    return f"evolution/{run}/r{number}/students"
