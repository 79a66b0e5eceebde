"""Reads Markdown and plain text files as documents: paths in, documents out; run by `agentmesh knowledge add` and the demo."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from infra.errors import DataError
from infra.knowledge.base import MAX_TITLE_CHARACTERS, Document

MARKDOWN = (".md", ".markdown")
SUFFIXES = (*MARKDOWN, ".txt")

_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$", re.MULTILINE)


class UnreadableFile(DataError):
    """A path that gives no document. The message says what to do."""


def documents_in(paths: Iterable[Path]) -> list[Document]:
    """The documents of files and, at any depth, of folders; an id is the path relative to what was given.

    Hidden files and folders are left out, and so are links out of a folder. Raises UnreadableFile for a path that is not there, a folder
    without a document, a file that is no text, and for two files with one id.
    """
    found: dict[str, tuple[Path, Document]] = {}
    for given in paths:
        for document_id, path in _files(given):
            if document_id in found and not found[document_id][0].samefile(path):
                raise UnreadableFile(
                    f"{found[document_id][0]} and {path} would both be the document {document_id!r}: give the folder above them instead."
                )
            found[document_id] = (path, read_document(document_id, path))
    return [document for _, document in found.values()]


def _files(given: Path) -> Iterator[tuple[str, Path]]:
    if given.is_dir():
        files = sorted(_below(given))
        if not files:
            raise UnreadableFile(f"{given} holds no document: put {', '.join(SUFFIXES)} files into it, or give another folder.")
        yield from ((path.relative_to(given).as_posix(), path) for path in files)
    elif not given.exists():
        raise UnreadableFile(f"There is no file or folder {given}.")
    elif given.suffix.lower() not in SUFFIXES:
        raise UnreadableFile(f"{given} is no document: only {', '.join(SUFFIXES)} are read.")
    else:
        yield given.name, given


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(place, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file() and not path.is_symlink())


def read_document(document_id: str, path: Path) -> Document:
    """One file as a document: the title is the first heading of Markdown, else the file's name in words."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UnreadableFile(f"{path} is not text in UTF-8: convert it first (iconv -t UTF-8).") from None
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror}.") from error
    title = re.sub(r"[-_]+", " ", path.stem).strip() or path.name
    if path.suffix.lower() in MARKDOWN and (heading := _HEADING.search(text)) and heading[1]:
        title = " ".join(heading[1].split())
        text = text[: heading.start()] + text[heading.end() :]
    if not text.strip():
        raise UnreadableFile(f"{path} has no text: write some, or leave it out.")
    try:
        return Document(document_id, title[:MAX_TITLE_CHARACTERS], text.strip())
    except DataError as error:
        raise UnreadableFile(f"{path}: {error}.") from None
