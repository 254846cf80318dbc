"""The workflow's files: Snakefile, `workflow/`, `config/` and `profiles/`, as they lie in the repository."""

from pathlib import Path


def project() -> Path:
    """Return the folder that holds them: `moco/project` where a wheel is installed, else the checkout."""
    inside = Path(__file__).absolute().parent / "project"
    return inside if inside.is_dir() else inside.parents[1]
