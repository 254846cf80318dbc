"""Where the data files of the original's newest release lie once they are fetched."""

FOLDER = "moco-data-1.1.2"
"""Folder below `$MOCO_CACHE`."""

SMOLLM2 = "smollm2-135m-instruct"
"""Folder below `$MOCO_CACHE` of the model that is fetched."""

_COMMANDS = {FOLDER: "moco fetch moco-data", SMOLLM2: "moco fetch smollm2-135m"}

FILES = (
    *(
        "agieval",
        "agieval_tiny",
        "alpacaeval",
        "apex_shortlist",
        "arc_challenge",
        "bbh",
        "bixbench",
        "blend",
    ),
    *(
        "chembench",
        "coconot",
        "communitybench",
        "culturalbench_hard",
        "culturebench",
        "gpqa_diamond",
    ),
    *(
        "gpqa_extended",
        "gpqa_main",
        "gsm8k",
        "human_interest",
        "humaneval",
        "ifeval",
        "infinite_chat_diversity",
    ),
    *(
        "infinite_chat_open",
        "kaleidoscope",
        "kernelbench",
        "lab_bench",
        "math",
        "mbpp",
        "medmcqa",
        "medqa",
        "mixeval",
    ),
    *(
        "mmlu_redux",
        "mmluprox",
        "popqa",
        "pubmedqa",
        "sciencemeter",
        "sciriff",
        "scitarc",
        "smdd",
        "tablemwp_free_text",
    ),
    *(
        "tablemwp_multiple_choice",
        "theoremqa",
        "truthfulqa",
        "value_drifts",
        "wikidyk",
        "wildchat",
    ),
)
"""Datasets that the release has a file of."""


def release_path(name: str) -> str:
    """Return where a dataset's file lies, as a configuration names it."""
    return f"$MOCO_CACHE/{FOLDER}/{name}.json"


def remedy_for(path: str) -> str:
    """Return what to do about a configured path that does not exist: fetch it, or correct it."""
    name = path.removeprefix("$MOCO_CACHE/").partition("/")[0]
    return f"run `{_COMMANDS[name]}`" if name in _COMMANDS else "correct the path"
