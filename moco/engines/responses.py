"""What a model replied, as methods see it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Part of a reply that one of several models wrote.

    Attributes:
        model: Its name in the study.
        start: First character of the text.
        end: The character after the last; equal to the first where a token ends within a character.
        logprob: Raw log-probability of what it wrote.
    """

    model: str
    start: int
    end: int
    logprob: float


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
        segments: Who wrote what, token by token, where several models wrote in turn.
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
    segments: tuple[Segment, ...] = ()
