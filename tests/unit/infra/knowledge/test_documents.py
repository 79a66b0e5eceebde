"""What a document may be, and how files become documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import DataError
from infra.knowledge.base import MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS, Document
from infra.knowledge.files import UnreadableFile, documents_in


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"document_id": ""}, "id has 1 to"),
        ({"document_id": "  "}, "id has 1 to"),
        ({"document_id": "a\nb"}, "no control characters"),
        ({"document_id": "x" * (MAX_ID_CHARACTERS + 1)}, "id has 1 to"),
        ({"title": ""}, "title has 1 to"),
        ({"title": "\ud800"}, "no control characters"),
        ({"source": "a\x00"}, "source has 1 to"),
        ({"text": " \n"}, "must not be blank"),
        ({"text": "x" * (MAX_TEXT_CHARACTERS + 1)}, "nor longer than"),
        ({"text": "a\x00b"}, "NUL"),
        ({"text": "a\udfffb"}, "lone surrogate"),
    ],
)
def test_what_no_store_can_keep_is_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Document(**{"document_id": "a", "title": "A", "text": "text", **changes})


def test_the_source_is_the_id_unless_it_is_given() -> None:
    assert Document("a", "A", "text").source == "a"
    assert Document("a", "A", "text", "https://help.example/a").source == "https://help.example/a"


def test_the_hash_tells_what_stands_where() -> None:
    documents = [Document("a", "A", "b c"), Document("a", "A b", "c"), Document("a", "A", "b c", "d"), Document("a", "A", "b")]
    assert len({each.content_hash() for each in documents}) == 4
    assert Document("a", "A", "b").content_hash() == Document("z", "A", "b", "a").content_hash()


# -- files ---------------------------------------------------------------------------------------------------------------


def write(path: Path, text: str | bytes = "Some text.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_folder_gives_its_files_at_any_depth_by_their_relative_paths(tmp_path: Path) -> None:
    for name in ("b.md", "a/deep/c.TXT", "a/d.markdown", "a/picture.png", ".hidden.md", ".git/e.md", "a/.venv/f.md"):
        write(tmp_path / "docs" / name)
    (tmp_path / "docs" / "link.md").symlink_to(write(tmp_path / "outside.md"))
    (tmp_path / "docs" / "around").symlink_to(tmp_path)
    found = documents_in([tmp_path / "docs"])
    assert [(each.document_id, each.source) for each in found] == [(name, name) for name in ("a/d.markdown", "a/deep/c.TXT", "b.md")]


def test_a_file_is_called_by_its_name_and_may_be_given_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "docs" / "a.md")
    assert [each.document_id for each in documents_in([path, path, tmp_path / "docs"])] == ["a.md"]


@pytest.mark.parametrize(
    ("name", "text", "title", "body"),
    [
        ("a.md", "# The title\n\nThe text.", "The title", "The text."),
        ("a.md", "\ufeff  ##  The   title ##\r\nThe text.\n\n## More\n", "The title", "The text.\n\n## More"),
        ("a.md", "Before.\n\n# Late\n\nAfter.", "Late", "Before.\n\n\n\nAfter."),
        ("reset_the-password.md", "Only text, #no heading.", "reset the password", "Only text, #no heading."),
        ("a note.txt", "# Not a heading here", "a note", "# Not a heading here"),
    ],
)
def test_the_title_is_the_first_heading_or_the_name(tmp_path: Path, name: str, text: str, title: str, body: str) -> None:
    (found,) = documents_in([write(tmp_path / name, text)])
    assert (found.title, found.text) == (title, body)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.md", b"\xff\xfe\x00", "not text in UTF-8: convert it first"),
        ("a.md", b" \n", "has no text: write some"),
        ("a.md", b"# Only a title", "has no text"),
        ("a.txt", b"binary \x00", "NUL"),
        ("a.pdf", b"text", r"only \.md, \.markdown, \.txt are read"),
    ],
)
def test_a_file_that_is_no_document_says_what_to_do(tmp_path: Path, name: str, text: bytes, says: str) -> None:
    with pytest.raises(UnreadableFile, match=says):
        documents_in([write(tmp_path / name, text)])


def test_paths_that_give_nothing_and_files_with_one_id_are_refused(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one" / "a.md"), write(tmp_path / "other" / "a.md")
    with pytest.raises(UnreadableFile, match=r"would both be the document .*: give the folder above"):
        documents_in([one, other])
    assert [each.document_id for each in documents_in([tmp_path])] == ["one/a.md", "other/a.md"]
    with pytest.raises(UnreadableFile, match="There is no file or folder"):
        documents_in([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnreadableFile, match="holds no document: put"):
        documents_in([tmp_path / "empty"])
