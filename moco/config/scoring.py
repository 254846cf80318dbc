"""How replies are scored, where that takes more than comparing texts."""

from typing import Literal

from moco.config.fields import Section, identity, runtime


class CodeExecution(Section):
    """Execution of code that models wrote. Nothing runs unless `allow` says so."""

    allow: bool = runtime("Run code that models wrote, to score tasks of type coding.", False)
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
