"""How answers look: JSON, tables without a terminal, lengths of time."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.envelope import Metadata, RecordedEvent
from services.cli.dead_letters import filter_of, readable
from services.cli.errors import WrongUsage
from services.cli.event_log import (
    TailFilter,
    event_row,
    event_type_names,
    parse_positions,
    print_positions,
    short_data,
    short_type,
)
from services.cli.output import cell, describe_details, duration, own_name, print_facts, print_json, print_table

CREATED = "agentmesh.requests.RequestCreated.v1"


def recorded(type_name: str = CREATED, aggregate_id: str = "req-1") -> RecordedEvent:
    metadata = Metadata("e1", type_name, "/agentmesh/requests", aggregate_id, "2026-01-01T00:00:00Z", "acme", "user", "me", "c0", "c1")
    return RecordedEvent(metadata, b'{"tenant_id":"acme","message":"x"}', 1, 12, "requests")


def test_a_table_without_a_terminal_has_no_colour_and_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "number"), [["x" * 150, 7], ["[red]y[/red]", None]], empty="nothing")
    lines = capsys.readouterr().out.splitlines()
    assert "\x1b" not in "".join(lines)
    assert "x" * 150 in lines[2]
    assert lines[2].rstrip().endswith("7")
    assert "[red]y[/red]" in lines[3]


def test_a_table_without_rows_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [], empty="Nothing is parked.")
    assert capsys.readouterr().out == "Nothing is parked.\n"


def test_facts_are_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts({"a": 1, "long name": None})
    assert capsys.readouterr().out == "a          1\nlong name  -\n"


def test_json_knows_times_and_models(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 1, 1, tzinfo=UTC), "where": ("ä",), "set": {1}})
    assert json.loads(capsys.readouterr().out) == {"at": "2026-01-01T00:00:00+00:00", "where": ["ä"], "set": "{1}"}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (True, "yes"), (False, "no"), (1.50, "1.5"), (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00.000")],
)
def test_a_cell_is_what_people_read(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s"), (59.9, "59s"), (61, "1m01s"), (3_700, "1h01m"), (90_000, "1d01h")])
def test_a_length_of_time(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(tmp_path / "bin" / "agentmesh"), "demo"])
    assert own_name() == "bin/agentmesh"
    monkeypatch.setattr("sys.argv", ["main.py"])
    assert own_name().endswith(" -m services.cli.main")
    program = tmp_path / "agentmesh"
    program.write_text("")
    program.chmod(0o755)
    assert own_name() == "agentmesh"


def test_details_of_a_rejection_in_one_line() -> None:
    errors = [{"field": "priority", "rule": "Field required", "shape": "absent"}]
    assert describe_details({"errors": errors, "field": "priority"}) == "priority: Field required (absent)"
    assert describe_details({"rule": "x", "status": "pending"}) == "rule: x; status: pending"
    assert describe_details({}) == "-"


# -- events ------------------------------------------------------------------------------------------------------------------------------


def test_positions_are_those_of_contexts() -> None:
    assert parse_positions("12", ("requests",)) == {"requests": 12}
    assert parse_positions("requests:12", ("requests",)) == {"requests": 12}
    assert parse_positions("tasks:7", ("requests", "tasks")) == {"requests": 0, "tasks": 7}
    both = {"requests": 3, "tasks": 7}
    assert parse_positions(print_positions(both), ("requests", "tasks")) == both


@pytest.mark.parametrize(
    ("text", "contexts"), [("12", ("requests", "tasks")), ("x:1", ("requests",)), ("requests:-1", ("requests",)), ("", ("requests",))]
)
def test_a_position_that_means_nothing_is_refused(text: str, contexts: tuple[str, ...]) -> None:
    with pytest.raises(WrongUsage, match="requests:NUMBER"):
        parse_positions(text, contexts)


def test_event_types_are_found_by_short_and_full_names() -> None:
    assert event_type_names([]) is None
    assert event_type_names(["RequestCreated", CREATED]) == {CREATED}
    with pytest.raises(WrongUsage, match="no event 'Created'"):
        event_type_names(["Created"])


def test_a_tail_shows_what_its_filter_wants() -> None:
    assert TailFilter(None, None).wants(recorded())
    assert TailFilter(frozenset({CREATED}), "req-1").wants(recorded())
    assert not TailFilter(frozenset({CREATED}), None).wants(recorded("agentmesh.requests.RequestDeleted.v1"))
    assert not TailFilter(None, "req-2").wants(recorded())


def test_an_event_in_json_names_its_place() -> None:
    row = event_row(recorded())
    assert (row["position"], row["version"], row["causation_id"], row["data"]["message"]) == ("requests:12", 1, "c1", "x")


def test_short_forms() -> None:
    assert short_type(CREATED) == "RequestCreated"
    assert short_type("odd") == "odd"
    assert short_data({"tenant_id": "a", "x": 1, "y": None, "z": {}}) == "x=1"
    assert len(short_data({"x": "y" * 500})) == 160


# -- dead letters ------------------------------------------------------------------------------------------------------------------------


def test_a_filter_means_waiting_records_by_default() -> None:
    assert filter_of().statuses == ("parked", "requeued")
    assert filter_of(status="all").statuses is None
    assert filter_of(status="discarded", through=7).statuses == ("discarded",)
    with pytest.raises(WrongUsage, match="no status 'gone'"):
        filter_of(status="gone")


def test_bytes_are_shown_as_what_they_are() -> None:
    assert readable(None) is None
    assert readable(b'{"a":1}') == {"a": 1}
    assert readable(b"1.0", text=True) == "1.0"
    assert readable(b"\xff{") == "\\xff{"
