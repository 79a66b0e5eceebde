"""The log files of supervised processes: set aside when large, followed line by line as they grow, and read backwards from their ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
READ_BYTES = 256 * 1024
TAIL_BYTES = 16 * 1024
BLOCK_BYTES = 64 * 1024
# Our own lines are shorter; of a longer one without an end, the end is kept.
MOST_LINE_BYTES = 1024 * 1024


def rotate(path: Path, max_bytes: int = MAX_BYTES, kept: int = KEPT, *, running: bool = False) -> None:
    """Set a file aside that has grown beyond `max_bytes`: `x.log` becomes `x.log.1`, and so on; the oldest goes.

    A `running` process goes on to write to the same file, so that is copied and emptied; what it writes in between is lost. It is emptied
    also where there is no room for the copy, which raises OSError.
    """
    if not path.exists() or path.stat().st_size <= max_bytes:
        return
    for number in range(kept, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        newer = path if number == 1 else path.with_name(f"{path.name}.{number - 1}")
        if number == 1 and running:
            try:
                shutil.copyfile(path, older)
            finally:
                os.truncate(path, 0)
        elif newer.exists():
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
    """Hands out whole new lines of several growing files, from where they end now.

    A file that is set aside or copied is read to its end before the new one of its name is begun; a file that `add` names is read from its
    beginning. Between two calls no file is open, and of a line that has not ended yet at most MOST_LINE_BYTES are kept.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)
        self._places = {name: _end_of_lines(path) for name, path in files.items()}
        self._rests: dict[str, bytes] = dict.fromkeys(files, b"")

    def add(self, files: Mapping[str, Path]) -> None:
        """Follow these too, from their first line, unless they are followed already."""
        for name in files.keys() - self._files.keys():
            self._files[name], self._places[name], self._rests[name] = files[name], (0, 0), b""

    def ends(self) -> dict[int, int]:
        """Of each file, by its inode, how many bytes have been handed out or were there before."""
        return dict(self._places.values())

    def new_lines(self) -> Iterator[tuple[str, str]]:
        """(name, line) of what was written since the last call."""
        for name, path in self._files.items():
            identity, size = _identity_and_size(path)
            if identity != self._places[name][0]:
                yield from self._rest_of_old(name, path)
                self._places[name] = (identity, 0)
            elif size < self._places[name][1]:
                yield from self._rest_of_emptied(name, _set_aside(path)[0])
                self._places[name] = (identity, 0)
            yield from self._read_on(name, path)

    def _rest_of_old(self, name: str, path: Path) -> Iterator[tuple[str, str]]:
        """What was written last into the file that has been set aside, with its last line whether it ended or not."""
        old = next((each for each in _set_aside(path) if _identity_and_size(each)[0] == self._places[name][0] != 0), None)
        if old is not None:
            yield from self._read_to_end(name, old)
        if self._rests[name]:
            yield name, self._rests[name].decode("utf-8", "replace")
            self._rests[name] = b""

    def _rest_of_emptied(self, name: str, copy: Path) -> Iterator[tuple[str, str]]:
        """What was written last before the file was emptied; a line that had not ended goes on at its beginning."""
        if _identity_and_size(copy)[1] >= self._places[name][1]:
            yield from self._read_to_end(name, copy)
        else:
            self._rests[name] = b""

    def _read_to_end(self, name: str, path: Path) -> Iterator[tuple[str, str]]:
        for _ in range(_identity_and_size(path)[1] // READ_BYTES + 1):
            yield from self._read_on(name, path)

    def _read_on(self, name: str, path: Path) -> Iterator[tuple[str, str]]:
        identity, place = self._places[name]
        try:
            with path.open("rb") as file:
                file.seek(place)
                data = file.read(READ_BYTES)
        except OSError:
            return
        self._places[name] = (identity, place + len(data))
        *lines, rest = (self._rests[name] + data).split(b"\n")
        self._rests[name] = rest[-MOST_LINE_BYTES:]
        yield from ((name, line.decode("utf-8", "replace")) for line in lines)


def _set_aside(path: Path, kept: int = KEPT) -> list[Path]:
    """The files of this name that `rotate` has set aside, the newest first."""
    return [path.with_name(f"{path.name}.{number}") for number in range(1, kept + 1)]


def _end_of_lines(path: Path) -> tuple[int, int]:
    """Identity of a file, and where its last whole line ends."""
    identity, size = _identity_and_size(path)
    if size:
        with path.open("rb") as file:
            file.seek(max(0, size - MOST_LINE_BYTES))
            tail = file.read(min(size, MOST_LINE_BYTES))
        size -= len(tail) - (tail.rfind(b"\n") + 1)
    return identity, size


# -- backwards ---------------------------------------------------------------------------------------------------------------------------


def log_files(state_dir: Path) -> dict[str, Path]:
    """The log file of each process that has one, by the process's name."""
    return {path.stem: path for path in sorted((state_dir / "logs").glob("*.log"))}


def lines_backwards(path: Path, ends: Mapping[int, int]) -> Generator[str]:
    """The lines of a file and of those set aside from it, the newest first; of a file in `ends` only up to that byte.

    Reads a block at a time: the memory that it takes does not depend on the size of the files.
    """
    with ExitStack() as stack:
        files: dict[int, BinaryIO] = {}
        for each in (path, *_set_aside(path)):
            with suppress(FileNotFoundError):
                file: BinaryIO = stack.enter_context(each.open("rb"))
                files.setdefault(os.fstat(file.fileno()).st_ino, file)
        for identity, opened in files.items():
            size = os.fstat(opened.fileno()).st_size
            yield from _backwards(opened, min(size, ends.get(identity, size)))


def _backwards(file: BinaryIO, end: int) -> Iterator[str]:
    rest = b""
    while end > 0:
        begin = max(0, end - BLOCK_BYTES)
        file.seek(begin)
        rest, *lines = (file.read(end - begin) + rest).split(b"\n")
        rest = rest[-MOST_LINE_BYTES:]
        end = begin
        yield from (line.decode("utf-8", "replace") for line in reversed(lines) if line)
    if rest:
        yield rest.decode("utf-8", "replace")


def _identity_and_size(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size
