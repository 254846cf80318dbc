"""What a model replied, as methods see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Response:
    """One reply of a model, plain or requested by a method.

    Attributes:
        text: Visible reply, thinking text removed; empty when the thought was never closed.
        finish: `stop` or `length`.
        thought: `none`, `closed` or `unclosed`.
        prompt_flag: `ok`; `shortened` when parts of the prompt that may shrink were cut to fit the context; `truncated`
            when the prompt's beginning was.
        prompt_cut_tokens: Tokens of the prompt that were left out.
        sent: The prompt as it was sent, where something was left out.
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
    prompt_cut_tokens: int = 0
    sent: str | None = None
