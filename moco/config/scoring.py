"""How replies are scored, where that takes more than comparing texts."""

from typing import Annotated, Literal

from pydantic import Field

from moco.config.fields import SLUG, Section, identity, runtime

Slug = Annotated[str, Field(pattern=SLUG)]


class CodeExecution(Section):
    """Execution of code that models wrote. Nothing runs unless `allow` says so."""

    allow: bool = runtime("Run code that models wrote, to score tasks of type coding, smdd and kernel_bench.", False)
    isolation: Literal["bwrap", "limits"] = identity(
        "bwrap: a sandbox without network and files (bubblewrap). limits: only limits on resources; code under test "
        "can read and write whatever you can.",
        "bwrap",
    )
    seconds: int = identity("CPU and wall-clock time of one reply under `strict`.", 10, ge=1, le=600)
    memory_mb: int = identity("Address space of one process under `strict`, in MiB.", 512, ge=64, le=65536)
    workers: int = runtime("Replies that are executed at once, in each scoring job.", 1, ge=1)


class Scoring(Section):
    """How replies are scored."""

    code: CodeExecution = identity("Execution of code.", factory=CodeExecution)
    verifier: Slug | None = identity(
        "Model that compares an answer with the reference, for tasks of type general_verifier.", None
    )
    verdict_tokens: int = identity("Longest verdict of the verifier, in tokens.", 1024, ge=1)
    reward: Slug | None = identity("Model that rates replies, for tasks of type reward_model.", None)
    second_reward: Slug | None = identity(
        "Further reward model, reported beside the first under `strict`: one that no method trains or selects with.",
        None,
    )
    max_length: int = identity(
        "Most tokens of prompt and reply that reward models read under `strict`; the beginning of the prompt is dropped"
        " first.",
        4096,
        ge=16,
    )
    encoder: Slug | None = identity("Model that maps texts to vectors, for tasks of type generation_diversity.", None)
    least_words: int = identity("Diversity under `strict`: a reply with fewer words is at distance 0.", 1, ge=0)
    least_reward: float | None = identity(
        "Diversity under `strict`: a reply with a smaller reward is at distance 0; null asks no reward model.", None
    )
    text_generation: Literal["reward_model", "general_verifier"] | None = identity(
        "How text_generation tasks are scored under `strict`; null: not at all.", None
    )
