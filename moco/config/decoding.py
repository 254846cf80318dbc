"""How text is drawn from a model: all settings explicit, none taken from a checkpoint."""

from moco.config.fields import Section, identity


class Decoding(Section):
    """Decoding settings of a request. Temperature 0 is greedy decoding."""

    max_new_tokens: int = identity("Longest reply, in tokens.", 512, ge=1)
    temperature: float = identity("Divides the logits before sampling; 0 is greedy.", 0.7, ge=0)
    top_p: float = identity(
        "Sample from the smallest set of tokens with this share of the probability mass that top_k leaves; 1 is off.",
        0.9,
        gt=0,
        le=1,
    )
    top_k: int = identity("Sample from this many most likely tokens; applies before top_p; 0 is off.", 0, ge=0)
    repetition_penalty: float = identity("Divides positive logits of tokens already seen; 1 is off.", 1.0, gt=0)

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0

    def key(self) -> dict[str, float | int]:
        """Return what tells requests apart; settings without effect under greedy decoding are left out."""
        settings = self.slice()
        if self.greedy:
            for name in ("temperature", "top_p", "top_k"):
                settings.pop(name)
        return settings
