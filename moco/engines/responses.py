"""What a model replied, as methods see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """One reply of a model, plain or requested by a method.

    Attributes:
        text: Visible reply, thinking text removed; empty when the thought was never closed.
        finish: `stop` or `length`.
        thought: `none`, `closed` or `unclosed`.
        prompt_flag: `ok`, or `truncated` when the question's beginning was cut to fit the context.
        mean_logprob: Mean raw log-probability of the chosen tokens; None for an empty reply.
    """

    text: str
    key: str = ""
    finish: str = "stop"
    thought: str = "none"
    prompt_flag: str = "ok"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    mean_logprob: float | None = None
