"""The knowledge base from the command line, against a real database."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cli import exit_codes, main
from tests.integration.cli.conftest import Cli

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

ARTICLES = Path(__file__).resolve().parents[3] / "services" / "support_agents" / "knowledge"


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """A folder with two documents of its owner's."""
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / "parcel.md").write_text("# Track a parcel\n\nThe tracking number is in the dispatch mail.")
    (folder / "sub" / "hours.txt").write_text("We are open from 8 to 6.")
    return folder


def test_documents_are_added_found_listed_changed_and_removed(cli: Cli, notes: Path) -> None:
    first = cli("knowledge", "add", str(notes), "-o", "json")
    assert first.code == 0, first.err
    states = {"added": ["parcel.md", "sub/hours.txt"], "changed": [], "unchanged": []}
    assert first.json == {"tenant": "default", **states, "total": {"documents": 2, "passages": 2}}
    found = cli("knowledge", "search", "where is the tracking number", "--limit", "1", "-o", "json").json
    assert [(each["document_id"], each["title"], each["source"]) for each in found] == [("parcel.md", "Track a parcel", "parcel.md")]
    assert 0.3 < found[0]["score"] <= 1.0
    table = cli("knowledge", "search", "tracking number")
    assert "The tracking number is in the dispatch mail." in table.out

    (notes / "parcel.md").write_text("# Track a parcel\n\nAsk the carrier.")
    (notes / "new.md").write_text("# New\n\nSomething new.")
    again = cli("knowledge", "add", str(notes))
    assert [line.split() for line in again.out.splitlines()[2:]] == [
        ["new.md", "added"], ["parcel.md", "changed"], ["sub/hours.txt", "unchanged"]
    ]  # fmt: skip
    assert "tenant default has 3 documents with 3 passages" in again.err
    assert cli("knowledge", "search", "track a parcel", "--limit", "1", "-o", "json").json[0]["text"] == "Ask the carrier."

    listed = cli("knowledge", "list", "-o", "json").json
    assert [(each["document_id"], each["title"], each["passages"]) for each in listed] == [
        ("new.md", "New", 1), ("parcel.md", "Track a parcel", 1), ("sub/hours.txt", "hours", 1)
    ]  # fmt: skip
    page = cli("knowledge", "list", "--limit", "2")
    assert "parcel.md" in page.out
    assert "3 documents in all; the next ones: --after 'parcel.md'" in page.err
    assert "sub/hours.txt" in cli("knowledge", "list", "--after", "parcel.md").out

    assert cli("knowledge", "remove", "parcel.md", "-o", "json").json == {"tenant": "default", "removed": ["parcel.md"]}
    partly = cli("knowledge", "remove", "new.md", "parcel.md", "other.md")
    assert (partly.code, partly.out) == (exit_codes.NOT_FOUND, "removed new.md\n")
    assert "no document 'parcel.md', 'other.md'. See: agentmesh knowledge list --tenant default" in partly.err
    assert [each["document_id"] for each in cli("knowledge", "list", "-o", "json").json] == ["sub/hours.txt"]


def test_tenants_are_kept_apart(cli: Cli, notes: Path) -> None:
    assert cli("knowledge", "add", str(notes / "parcel.md"), "--tenant", "acme").code == 0
    assert cli("knowledge", "search", "tracking", "-o", "json").json == []
    assert "It has no documents: agentmesh knowledge add PATH" in cli("knowledge", "search", "tracking").out
    assert "Tenant default has no documents. Add some: agentmesh knowledge add PATH" in cli("knowledge", "list").out
    assert cli("knowledge", "remove", "parcel.md").code == exit_codes.NOT_FOUND
    assert "Nothing of tenant acme fits. Try other words." in cli("knowledge", "search", "?", "--tenant", "acme").out
    assert len(cli("knowledge", "search", "tracking", "--tenant", "acme", "-o", "json").json) == 1


def test_the_shipped_articles_can_be_added_and_asked(cli: Cli) -> None:
    assert cli("knowledge", "add", str(ARTICLES)).code == 0
    found = cli("knowledge", "search", "I was charged twice, the same payment is listed twice", "-o", "json").json
    assert found[0]["document_id"] == "billing-double-charge.md"
    assert [each["score"] for each in found] == sorted((each["score"] for each in found), reverse=True)


def test_what_cannot_be_added_is_refused_with_what_to_do_and_adds_nothing(cli: Cli, notes: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    (tmp_path / "latin.txt").write_bytes("schön".encode("latin-1"))
    cases = [
        ((str(notes), str(tmp_path / "nowhere")), exit_codes.NOT_FOUND, "There is no file or folder"),
        ((str(tmp_path / "picture.png"),), exit_codes.USAGE, "only .md, .markdown, .txt are read"),
        ((str(notes), str(tmp_path / "latin.txt")), exit_codes.USAGE, "is not text in UTF-8: convert it first"),
        ((str(notes), "--tenant", "a b"), exit_codes.USAGE, "There can be no tenant 'a b': a tenant id has"),
    ]
    for arguments, code, says in cases:
        answer = cli("knowledge", "add", *arguments)
        assert (answer.code, answer.out) == (code, ""), answer
        assert says in answer.err
    assert cli("knowledge", "list", "-o", "json").json == []


def test_a_database_that_is_away_ends_with_4(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:nothing@127.0.0.1:1/none")
    away = bare_cli("knowledge", "list")
    assert away.code == exit_codes.AWAY
    assert away.err.startswith("error: ")


@pytest.mark.parametrize(
    "arguments", [("knowledge",), ("knowledge", "add"), ("knowledge", "search", "a", "--limit", "0"), ("knowledge", "remove")]
)
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert main.run(arguments) == exit_codes.USAGE


@pytest.mark.parametrize("command", ["add", "list", "search", "remove"])
def test_every_command_has_a_help_text(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["knowledge", command, "--help"]) == 0
    assert f"Usage: agentmesh knowledge {command}" in capsys.readouterr().out
