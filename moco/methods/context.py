"""What a method sees, and all that a method imports of it: a context for `fit` and one for `answer`."""

from moco.methods.asking import Context, Settings
from moco.methods.fit_context import FitContext
from moco.methods.resources import Resources

__all__ = ["AnswerContext", "FitContext", "Settings"]


class AnswerContext(Context[Resources]):
    """What `answer` gets: questions of any split, never a reference."""
