"""Hosts as `agents hosts` shows them: the last words of each, and whether they are old."""

from datetime import UTC, datetime, timedelta

from contracts.fleet import FleetProbe, HostGone, HostHeartbeat
from infra.fleet.base import FleetRecord, last_words
from services.cli.hosts import host_row

NOW = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)


def heartbeat(host_id: str, seconds_ago: float, load: float = 0.0) -> HostHeartbeat:
    sent_at = NOW - timedelta(seconds=seconds_ago)
    return HostHeartbeat(sent_at=sent_at, host_id=host_id, kinds=("triage",), capacity=10, load=load, interval_seconds=3)


def test_the_last_words_of_each_host_count_and_who_left_has_none() -> None:
    said = [heartbeat("a", 9), heartbeat("b", 8), FleetProbe(sent_at=NOW, prober_id="d", number=1), heartbeat("a", 2, 0.5)]
    left = [heartbeat("c", 1), HostGone("c"), HostGone("nobody")]
    assert last_words(FleetRecord(0, each) for each in [*said, *left]) == [heartbeat("a", 2, 0.5), heartbeat("b", 8)]


def test_a_host_is_silent_after_five_intervals() -> None:
    assert host_row(heartbeat("a", 15), NOW)["state"] == "live"
    row = host_row(heartbeat("a", 15.1), NOW)
    assert (row["state"], row["age"], row["host_id"], row["kinds"]) == ("silent", 15.1, "a", ["triage"])


def test_a_clock_that_is_behind_makes_no_age_below_zero() -> None:
    assert host_row(heartbeat("a", -3), NOW)["age"] == 0
