"""Decoding in turn: each piece of a reply is written by one model, and the others read it as text when it is their turn.

Vocabularies may differ. What a model is asked for one row never depends on the other rows of the batch.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch

from moco.decoding.loop import DECIMALS, Row
from moco.decoding.pieces import Pieces, complete
from moco.decoding.reader import Reader
from moco.digest import digest
from moco.engines.sampling import Sampler, request_uniforms

Ending = Literal["stop", "length"]


@dataclass(frozen=True)
class Voice:
    """A model that takes turns.

    Attributes:
        reader: What it has read.
        pieces: Of its tokenizer.
        vocabulary: Equal where token ids mean the same.
        stop_ids: Token ids that end a reply.
        context: Tokens that it can read.
    """

    reader: Reader
    pieces: Pieces
    vocabulary: str
    stop_ids: frozenset[int]
    context: int


@dataclass(frozen=True)
class Proposal:
    """The token that a model would write next.

    Attributes:
        member: Place of the model.
        token: Drawn under the row's decoding settings.
        logprob: Its raw log-probability.
        top: Raw probability of the most likely token, whatever the settings.
        text: Whole characters that the reply gains with it.
        ends: The reply ends instead: the token is an end of sequence, or the model's context is full.
    """

    member: int
    token: int
    logprob: float
    top: float
    text: str = ""
    ends: Ending | None = None


@dataclass(frozen=True)
class _Written:
    member: int
    tokens: tuple[int, ...]
    data: bytes
    logprob: float


@dataclass
class _Heard:
    """Tokens that a model has for a reply as of one of its changes, and how many there were after how many pieces."""

    change: int = -1
    tokens: list[int] = field(default_factory=list)
    marks: list[tuple[int, int]] = field(default_factory=list)


class Reply:
    """A reply that grows piece by piece.

    Args:
        row: Receives it.
        voices: Number of models.
    """

    def __init__(self, row: Row, voices: int) -> None:
        self.row = row
        self.written: list[_Written] = []
        self.changes = 0
        self.data = b""
        self.heard = [_Heard() for _ in range(voices)]
        self.uniforms = request_uniforms(row.seed, row.decoding.max_new_tokens * voices)
        self.ended: Ending | None = None

    @property
    def pieces(self) -> int:
        """Number of pieces so far."""
        return len(self.written)

    @property
    def author(self) -> int | None:
        """Who wrote last."""
        return self.written[-1].member if self.written else None

    @property
    def text(self) -> str:
        """Whole characters so far."""
        return self.data[: complete(self.data)].decode("utf-8", "replace")

    @property
    def holding(self) -> bool:
        """Whether the last piece ends within a character; nobody but its author can go on then."""
        return complete(self.data) < len(self.data)


class InTurn:
    """Replies of a batch.

    Args:
        voices: The models.
        rows: Empty; temperature, nucleus and repetition penalty of each apply to what a model proposes for it.
        retokenise: A model reads the whole reply as its tokenizer cuts it.

    Attributes:
        alive: Replies that are not finished; `finished` takes those away that ended.
    """

    def __init__(self, voices: Sequence[Voice], rows: Sequence[Row], *, retokenise: bool = False) -> None:
        self._voices, self._retokenise = voices, retokenise
        self.alive = [Reply(row, len(voices)) for row in rows]
        self._started = time.perf_counter()

    def propose(self, member: int, replies: Sequence[Reply]) -> list[Proposal]:
        """Return what a model would write next in some replies; it first reads what others have written there."""
        fits = self.fitting(member, replies)
        room = set(fits)
        drawn: Iterator[Proposal] = iter(())
        if fits:
            logits = self._logits(member, fits)
            sampler, settled = self._settled(logits, member, fits)
            uniforms = [reply.uniforms[member * reply.row.decoding.max_new_tokens + reply.pieces] for reply in fits]
            tokens = sampler.draw(settled, torch.tensor(uniforms, dtype=torch.float64, device=logits.device))
            drawn = iter(self._proposals(member, fits, logits, tokens))
        return [next(drawn) if reply in room else Proposal(member, -1, 0.0, 1.0, ends="length") for reply in replies]

    def fitting(self, member: int, replies: Sequence[Reply]) -> list[Reply]:
        """Return the replies that a model's context has room in."""
        context = self._voices[member].context
        return [
            reply for reply in replies if len(reply.row.prompts[member]) + len(self._heard(reply, member)) < context
        ]

    def probabilities(self, member: int, replies: Sequence[Reply]) -> torch.Tensor:
        """Return the probabilities by which `propose` draws, replies by the model's vocabulary, all settings applied.

        Under greedy decoding they are 0 and 1. Every reply must have room in the model's context (`fitting`).
        """
        sampler, settled = self._settled(self._logits(member, replies), member, replies)
        return sampler.probabilities(settled)

    def draw(self, member: int, replies: Sequence[Reply], probabilities: torch.Tensor, purpose: str) -> list[Proposal]:
        """Return tokens drawn from given probabilities, as proposals of a model.

        Args:
            member: In whose name and vocabulary.
            replies: As for `probabilities`.
            probabilities: Replies by vocabulary; a row's sum is not looked at. Under greedy decoding the largest is taken.
            purpose: Names the random numbers, as for `uniform`.
        """
        total = torch.cumsum(probabilities, dim=-1)
        uniforms = torch.tensor([self.uniform(reply, purpose) for reply in replies], dtype=total.dtype)
        places = torch.searchsorted(total, uniforms.to(total.device)[:, None] * total[:, -1:], right=True).squeeze(-1)
        greedy = torch.tensor([reply.row.seed is None for reply in replies], device=total.device)
        tokens = torch.where(greedy, probabilities.argmax(dim=-1), places)
        return self._proposals(member, replies, self._logits(member, replies), tokens)

    @staticmethod
    def uniform(reply: Reply, purpose: str) -> float:
        """Return the random number in [0, 1) of a purpose at the present place of a reply; 0 under greedy decoding.

        It is the same however often it is asked for, and independent of other purposes, places, and proposals.
        """
        if reply.row.seed is None:
            return 0.0
        return float(request_uniforms(int(digest(reply.row.seed, purpose, reply.pieces)[:16], 16), 1)[0])

    def _logits(self, member: int, replies: Sequence[Reply]) -> torch.Tensor:
        """Return what a model has for the next token of some replies, of which it first reads what others wrote."""
        return self._voices[member].reader.logits(*self._to_read(member, replies))

    def _to_read(self, member: int, replies: Sequence[Reply]) -> tuple[list[Sequence[int]], list[int], list[list[int]]]:
        places = {id(reply): place for place, reply in enumerate(self.alive)}
        return (
            [reply.row.prompts[member] for reply in self.alive],
            [places[id(reply)] for reply in replies],
            [self._heard(reply, member) for reply in replies],
        )

    def _proposals(
        self, member: int, replies: Sequence[Reply], logits: torch.Tensor, tokens: torch.Tensor
    ) -> list[Proposal]:
        logprobs = torch.log_softmax(logits, dim=-1)
        tops = logprobs.amax(dim=-1).exp().tolist()
        chosen = logprobs.gather(-1, tokens[:, None]).squeeze(-1).tolist()
        found = zip(replies, tokens.tolist(), chosen, tops, strict=True)
        return [self._proposal(member, reply, token, logprob, top) for reply, token, logprob, top in found]

    def _proposal(self, member: int, reply: Reply, token: int, logprob: float, top: float) -> Proposal:
        voice = self._voices[member]
        if token in voice.stop_ids:
            return Proposal(member, token, logprob, top, ends="stop")
        before = reply.data[complete(reply.data) :]
        gained = before + voice.pieces.of(token)
        text = gained[: complete(gained)].decode("utf-8", "replace")
        return Proposal(member, token, logprob, top, text)

    def _settled(self, logits: torch.Tensor, member: int, replies: Sequence[Reply]) -> tuple[Sampler, torch.Tensor]:
        """Return a sampler under the rows' settings, and the logits with repetitions penalised."""
        sampler = Sampler([reply.row.decoding for reply in replies], logits.device)
        if not sampler.penalised:
            return sampler, logits
        seen = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
        for place, reply in enumerate(replies):
            seen[place, [*reply.row.prompts[member], *self._heard(reply, member)]] = True
        return sampler, sampler.penalise(logits, seen)

    def append(self, reply: Reply, proposal: Proposal) -> None:
        """Let a proposal be written; the reply ends with it where it says so or the row's limit is reached."""
        if proposal.ends is not None:
            self.end(reply, proposal.ends)
            return
        data = self._voices[proposal.member].pieces.of(proposal.token)
        self._write(reply, _Written(proposal.member, (proposal.token,), data, proposal.logprob))

    def append_text(self, reply: Reply, member: int, text: str, logprob: float = 0.0) -> None:
        """Let a text be written in the name of a model, as one piece."""
        tokens = tuple(self._voices[member].pieces.encode(text))
        self._write(reply, _Written(member, tokens, text.encode(), logprob))

    def _write(self, reply: Reply, written: _Written) -> None:
        reply.changes += 1
        reply.written.append(written)
        reply.data += written.data
        if reply.pieces >= reply.row.decoding.max_new_tokens:
            self.end(reply, "length")

    def roll_back(self, reply: Reply, pieces: int) -> None:
        """Take back all but the first pieces of a reply; it goes on, even if it had ended, until it is `finished`."""
        reply.ended = None
        reply.changes += 1
        del reply.written[pieces:]
        reply.data = b"".join(each.data for each in reply.written)
        for heard in reply.heard:
            heard.marks = [mark for mark in heard.marks if mark[0] <= pieces]
            del heard.tokens[heard.marks[-1][1] if heard.marks else 0 :]

    def score(self, member: int, replies: Sequence[Reply], texts: Sequence[str]) -> list[list[float]]:
        """Return a model's raw log-probability of every token of one text per reply, after what is written there."""
        voice = self._voices[member]
        return voice.reader.score(*self._to_read(member, replies), [voice.pieces.encode(text) for text in texts])

    def end(self, reply: Reply, how: Ending) -> None:
        """End a reply; it leaves the batch with `finished`."""
        reply.ended = how

    def finished(self) -> Iterator[Row]:
        """Yield the rows that ended, which leave the batch."""
        seconds = (time.perf_counter() - self._started) / max(1, len(self.alive))
        for reply in self.alive:
            reply.row.seconds += seconds
        staying = [place for place, reply in enumerate(self.alive) if reply.ended is None]
        ended = [reply for reply in self.alive if reply.ended is not None]
        if ended:
            self.alive = [self.alive[place] for place in staying]
            for voice in self._voices:
                voice.reader.keep(staying)
            for reply in ended:
                _record(reply)
                yield reply.row
        self._started = time.perf_counter()

    def _heard(self, reply: Reply, member: int) -> list[int]:
        """Return the reply so far in a model's tokens."""
        voice, heard = self._voices[member], reply.heard[member]
        if heard.change == reply.changes:
            return heard.tokens
        heard.change = reply.changes
        if self._retokenise:
            heard.tokens = self._retokenised(reply, member)
            return heard.tokens
        foreign = b""
        for written in reply.written[heard.marks[-1][0] if heard.marks else 0 :]:
            if self._voices[written.member].vocabulary != voice.vocabulary:
                foreign += written.data
                continue
            heard.tokens += [*self._cut(voice, foreign), *written.tokens]
            foreign = b""
        heard.tokens += self._cut(voice, foreign)
        heard.marks.append((reply.pieces, len(heard.tokens)))
        return heard.tokens

    def _retokenised(self, reply: Reply, member: int) -> list[int]:
        """Return the text as the tokenizer cuts it; a character that is not whole stays in its author's tokens."""
        voice, kept = self._voices[member], reply.pieces
        data = reply.data
        while kept and complete(data) < len(data):
            kept -= 1
            data = data[: len(data) - len(reply.written[kept].data)]
        rest = [token for written in reply.written[kept:] for token in written.tokens]
        return [*self._cut(voice, data), *rest]

    @staticmethod
    def _cut(voice: Voice, data: bytes) -> list[int]:
        return voice.pieces.encode(data.decode("utf-8", "replace")) if data else []


def _record(reply: Reply) -> None:
    """Write a reply that ended into its row."""
    row = reply.row
    row.text, row.stopped = reply.data.decode("utf-8", "replace"), reply.ended == "stop"
    data, start = b"", 0
    for written in reply.written:
        data += written.data
        end = len(data[: complete(data)].decode("utf-8", "replace"))
        logprob = round(written.logprob, DECIMALS)
        row.segments.append((written.member, start, end, logprob))
        row.tokens += written.tokens
        row.logprobs += [logprob] if len(written.tokens) == 1 else []
        start = end
