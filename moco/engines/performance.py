"""Rows of performance files: what a job really did, how long it took, and what came from the store."""

from typing import Any

from moco.engines.room import EngineRoom


def reply_row(model: str, key: str, *, cached: bool, seconds: float) -> dict[str, Any]:
    """Return the row of one reply, or of one text that was scored."""
    return {"kind": "reply", "key": key, "model": model, "cached": cached, "seconds": seconds}


def load_rows(room: EngineRoom) -> list[dict[str, Any]]:
    """Return one row per load; a job writes them into its first file, so that sums over files count each once."""
    return [
        {"kind": "load", "key": None, "model": load.model, "cached": False, "seconds": load.seconds}
        for load in room.loaded
    ]
