"""Between token ids and text, token by token: what a token adds to a text is bytes, since characters may span tokens."""

import codecs
import json
from typing import Any

from moco.engines.thoughts import ReplyText
from moco.errors import RequestError

_PROBE = "Ab, c 12"
_ANCHOR = "\n"


class Pieces:
    """The pieces of one tokenizer.

    Args:
        tokenizer: Of transformers.
        where: Names the model in errors.

    Raises:
        RequestError: Its tokens say no bytes.
    """

    def __init__(self, tokenizer: Any, where: str = "") -> None:
        self._tokenizer, self._text = tokenizer, ReplyText(tokenizer)
        self._added = getattr(tokenizer, "added_tokens_decoder", {})
        self._special = set(getattr(tokenizer, "all_special_ids", ()))
        self._special |= {number for number, token in self._added.items() if token.special}
        backend = getattr(tokenizer, "backend_tokenizer", None)
        decoder = json.dumps(json.loads(backend.to_str())["decoder"]) if backend is not None else ""
        self._by_byte = "ByteLevel" in decoder
        self._known: dict[int, bytes] = {}
        if b"".join(map(self.of, self._ids(_PROBE))).strip() != _PROBE.encode():
            what = (
                "has a tokenizer whose pieces are not the bytes of a text, so it cannot write text in turn with others"
            )
            raise RequestError(what, where=where, remedy="use another model")

    def of(self, token: int) -> bytes:
        """Return the bytes that a token adds to a text; a special token adds none, but for the marks of a thought."""
        if token not in self._known:
            self._known[token] = self._read(token)
        return self._known[token]

    def _read(self, token: int) -> bytes:
        if token in self._special or token in self._added:
            return self._text.of([token]).encode()
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:  # the model has more embeddings than the tokenizer has pieces
            return b""
        if self._by_byte:
            return b"".join(bytes([_BYTES[each]]) if each in _BYTES else each.encode() for each in piece)
        if len(piece) == len("<0x00>") and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return str(piece).replace("▁", " ").encode()

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text that goes on from another; no space is put before it."""
        ids = self._ids(text)
        if b"".join(map(self.of, ids)) == text.encode():
            return ids
        anchor, anchored = self._ids(_ANCHOR), self._ids(_ANCHOR + text)
        return anchored[len(anchor) :] if anchored[: len(anchor)] == anchor else ids

    def _ids(self, text: str) -> list[int]:
        # Words that look like special tokens are text, and stay text.
        return list(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def complete(data: bytes) -> int:
    """Return how many bytes there are up to the last whole character; bytes that can be none are replaced, and whole."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    decoder.decode(data)
    return len(data) - len(decoder.getstate()[0])


def _byte_alphabet() -> dict[str, int]:
    """Return the byte that each character stands for in byte-level vocabularies, as GPT-2 has them."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + place): byte for place, byte in enumerate(hidden)}


_BYTES = _byte_alphabet()
