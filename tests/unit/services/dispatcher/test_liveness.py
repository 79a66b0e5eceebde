"""Silence is judged only by a listener that hears: probes, leases, and what a pause of the broker or of the judge must not do."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.dispatcher.liveness import REMEMBERED_PROBES, KindState, Liveness
from tests.unit.services.dispatcher.listening import FORGET, GAP, GRACE, INTERVAL, PARTITIONS, SILENCE, Listening, liveness, probe

TRIAGE = "triage"


def state(fleet: Listening, kind: str = TRIAGE) -> KindState:
    return fleet.judge.state(kind, fleet.now)


def test_a_kind_whose_host_is_heard_answers() -> None:
    fleet = Listening("host-1")
    fleet.seconds(5)
    assert state(fleet) is KindState.ANSWERS
    assert fleet.judge.live_hosts(fleet.now) == 1


def test_nothing_is_judged_before_a_probe_came_back_through_every_partition() -> None:
    fleet = Listening()
    fleet.says("host-1")
    assert state(fleet) is KindState.UNKNOWN
    fleet.deaf = {2}
    fleet.seconds(SILENCE * 4)
    assert state(fleet) is KindState.UNKNOWN
    fleet.deaf = set()
    fleet.seconds(1)
    assert fleet.judge.hears(fleet.now)


def test_the_probe_of_another_dispatcher_proves_nothing_to_this_one() -> None:
    judge = liveness()
    for partition in range(PARTITIONS):
        judge.heard(partition, probe(judge.next_probe(1), "dispatcher-2"), 1)
    assert not judge.hears(1)


def test_a_probe_that_was_never_sent_proves_nothing() -> None:
    judge = liveness()
    for partition in range(PARTITIONS):
        judge.heard(partition, probe(77), 1)
    assert not judge.hears(1)


def test_a_host_that_dies_makes_its_kind_silent_after_its_lease_and_not_before() -> None:
    fleet = Listening("host-1")
    fleet.seconds(9)
    fleet.alive.clear()
    fleet.seconds(SILENCE - INTERVAL)
    assert state(fleet) is KindState.ANSWERS
    fleet.seconds(INTERVAL + 1)
    assert state(fleet) is KindState.SILENT
    assert fleet.judge.live_hosts(fleet.now) == 0


def test_a_kind_is_live_while_one_of_its_hosts_is() -> None:
    fleet = Listening("host-1", "host-2")
    fleet.seconds(6)
    del fleet.alive["host-1"]
    fleet.seconds(SILENCE * 3)
    assert state(fleet) is KindState.ANSWERS
    assert fleet.judge.live_hosts(fleet.now) == 1


def test_a_host_answers_for_each_of_its_kinds_and_for_no_other() -> None:
    fleet = Listening()
    fleet.alive = {"host-1": (TRIAGE, "research")}
    fleet.says("host-2", "resolution")
    fleet.seconds(SILENCE * 2)
    assert (state(fleet, TRIAGE), state(fleet, "research")) == (KindState.ANSWERS, KindState.ANSWERS)
    assert state(fleet, "resolution") is KindState.SILENT


def test_a_kind_that_fell_silent_answers_again_with_the_first_heartbeat() -> None:
    fleet = Listening("host-1")
    fleet.seconds(6)
    fleet.alive.clear()
    fleet.seconds(SILENCE * 2)
    assert state(fleet) is KindState.SILENT
    fleet.says("host-2")
    assert state(fleet) is KindState.ANSWERS


def test_a_host_that_leaves_and_another_that_comes_soon_leave_no_silence() -> None:
    fleet = Listening("host-1")
    fleet.seconds(6)
    fleet.leaves("host-1")
    assert fleet.judge.live_hosts(fleet.now) == 0
    for _ in range(int(SILENCE) - 3):
        fleet.second()
        assert state(fleet) is KindState.ANSWERS
    fleet.says("host-2")
    fleet.seconds(2)
    assert state(fleet) is KindState.ANSWERS


def test_a_kind_that_never_had_a_host_has_its_time_of_grace() -> None:
    fleet = Listening()
    fleet.seconds(100)
    assert state(fleet) is KindState.UNKNOWN, "it begins with the first question: before that nobody had an agent of this kind"
    fleet.seconds(GRACE)
    assert state(fleet) is KindState.UNKNOWN
    fleet.seconds(1)
    assert state(fleet) is KindState.SILENT
    assert state(fleet, "research") is KindState.UNKNOWN


# --- pauses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away", [GAP + 2, 60, 3_600])
def test_a_broker_away_declares_nobody_dead_and_all_leases_start_anew(away: float) -> None:
    fleet = Listening("host-1", "host-2")
    fleet.seconds(30)
    fleet.broker = False
    for _ in range(round(away)):
        fleet.second()
        assert state(fleet) is not KindState.SILENT
    assert state(fleet) is KindState.UNKNOWN
    fleet.broker = True
    for _ in range(60):
        fleet.second()
        assert state(fleet) is not KindState.SILENT
    assert state(fleet) is KindState.ANSWERS


def test_after_a_pause_the_dead_are_found_one_lease_later() -> None:
    fleet = Listening("host-1")
    fleet.seconds(30)
    fleet.broker = False
    fleet.alive.clear()
    fleet.seconds(60)
    fleet.broker = True
    for _ in range(int(SILENCE)):
        fleet.second()
        assert state(fleet) is KindState.UNKNOWN
    fleet.seconds(2)
    assert state(fleet) is KindState.SILENT


def test_a_single_partition_that_is_not_heard_is_a_pause() -> None:
    fleet = Listening("host-1")
    fleet.seconds(30)
    fleet.deaf = {1}
    fleet.alive.clear()
    fleet.seconds(SILENCE * 4)
    assert state(fleet) is KindState.UNKNOWN


def test_a_judge_that_stood_still_takes_what_he_missed_for_a_pause() -> None:
    """Nobody asked while it lasted: the two probes around it tell."""
    fleet = Listening("host-1")
    fleet.seconds(30)
    fleet.now += 600
    fleet.second()
    assert state(fleet) is KindState.UNKNOWN
    fleet.seconds(INTERVAL)
    assert state(fleet) is KindState.ANSWERS


def test_a_probe_that_comes_back_late_proves_what_was_when_it_was_sent() -> None:
    judge = liveness(1)
    number = judge.next_probe(100)
    judge.heard(0, probe(number), 100 + GAP + 1)
    assert not judge.hears(100 + GAP + 1)


def test_records_from_before_the_listening_began_are_no_answer() -> None:
    """The compacted past: a host was there once. Its lease starts now, and an agent does not recover by it."""
    fleet = Listening()
    fleet.says("long-dead")
    fleet.seconds(SILENCE)
    assert state(fleet) is KindState.UNKNOWN
    fleet.seconds(2)
    assert state(fleet) is KindState.SILENT


def test_lost_probes_are_forgotten() -> None:
    judge = liveness(1)
    for second in range(REMEMBERED_PROBES * 3):
        judge.next_probe(second)
    assert len(judge._sent) == REMEMBERED_PROBES


# --- hosts that never come back -----------------------------------------------------------------------------------------


def test_a_host_that_was_silent_for_very_long_is_forgotten_once() -> None:
    fleet = Listening("host-1", "host-2")
    fleet.seconds(10)
    del fleet.alive["host-1"]
    fleet.seconds(FORGET - 10)
    assert fleet.judge.take_forgotten(fleet.now) == []
    fleet.seconds(20)
    assert fleet.judge.take_forgotten(fleet.now) == ["host-1"]
    assert fleet.judge.take_forgotten(fleet.now) == []
    fleet.broker = False
    fleet.seconds(FORGET * 2)
    assert fleet.judge.take_forgotten(fleet.now) == []


# --- always -----------------------------------------------------------------------------------------------------------

STEPS = st.lists(st.sampled_from(["pass", "broker", "deaf", "stall", "leave", "return"]), max_size=60)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_a_kind_with_a_host_that_always_speaks_is_never_silent(steps: list[str]) -> None:
    """Whatever the network and the judge do: the host at work is never declared dead."""
    fleet = Listening("always", "sometimes")
    for step in steps:
        if step == "broker":
            fleet.broker = not fleet.broker
        elif step == "deaf":
            fleet.deaf ^= {1}
        elif step == "stall":
            fleet.now += 41
        elif step == "leave":
            fleet.leaves("sometimes")
        elif step == "return":
            fleet.alive["sometimes"] = (TRIAGE,)
        for _ in range(4):
            fleet.second()
            assert state(fleet) is not KindState.SILENT


def test_the_defaults_leave_room_for_a_pause_that_is_not_noticed() -> None:
    judge = Liveness("me", 1)
    assert judge._silence > judge._gap + 2 * INTERVAL
