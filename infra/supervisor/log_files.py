"""The log files of supervised processes: kept small when a process starts, and followed line by line for a person who watches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
READ_BYTES = 256 * 1024
TAIL_BYTES = 16 * 1024


def rotate(path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
    """Set a file aside that has grown beyond `max_bytes`: `x.log` becomes `x.log.1`, and so on; the oldest goes."""
    if not path.exists() or path.stat().st_size <= max_bytes:
        return
    for number in range(kept, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)


def last_words(path: Path) -> str:
    """What a process said last: the last plain line, which is how a refusal is told, else the message of its last JSON line."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return ""
    plain = [line for line in lines if not line.startswith("{")]
    if plain or not lines:
        return plain[-1] if plain else ""
    try:
        return str(json.loads(lines[-1])["message"])
    except (ValueError, KeyError, TypeError):
        return lines[-1]


class LogFollower:
    """Hands out whole new lines of several growing files, from where they end now; a file that was set aside is begun anew."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._places = {name: _identity_and_size(path) for name, path in files.items()}
        self._rests: dict[str, bytes] = dict.fromkeys(files, b"")

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """(name, line) of what was written since the last call."""
        for name, path in self._files.items():
            identity, size = _identity_and_size(path)
            known, place = self._places[name]
            if identity != known or size < place:
                known, place = identity, 0
                self._rests[name] = b""
            data = b""
            if size > place:
                with path.open("rb") as file:
                    file.seek(place)
                    data = file.read(READ_BYTES)
            self._places[name] = (known, place + len(data))
            *lines, self._rests[name] = (self._rests[name] + data).split(b"\n")
            yield from ((name, line.decode("utf-8", "replace")) for line in lines)


def _identity_and_size(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size
