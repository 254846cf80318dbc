"""What a search has scored and where it stands, in files that survive being killed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class SearchJournal:
    """Scored candidates in `candidates.json`, the searcher's state after iteration n in `iteration-<n>.json`.

    Args:
        folder: Where the files are; without one, nothing outlives the object.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.candidates: list[dict[str, Any]] = []
        if folder is not None and (folder / "candidates.json").exists():
            from moco.records import read_json

            self.candidates = read_json(folder / "candidates.json")

    def add(self, candidate: Mapping[str, Any]) -> None:
        """Note a scored candidate."""
        self.candidates.append(dict(candidate))
        self._write("candidates.json", self.candidates)

    def save(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Note the state after an iteration."""
        self._write(f"iteration-{iteration:03d}.json", dict(state))

    def last_state(self) -> dict[str, Any] | None:
        """Return the state after the last finished iteration, or None when there is none."""
        files = sorted(self._folder.glob("iteration-*.json")) if self._folder is not None else []
        if not files:
            return None
        from moco.records import read_json

        return dict(read_json(files[-1]))

    def _write(self, name: str, value: Any) -> None:
        if self._folder is not None:
            from moco.records import write_json

            write_json(self._folder / name, value)
