"""Lags from places and ends: who is looked at, what is counted, and of which records the age is asked."""

from contracts.topics import commands_topic, events_topic, work_topic
from infra.lags.base import Partition, Place
from services.monitor.followers import Follower, Kind, Lag, Looks, consumer_groups, of_checkpoints, of_groups, partitions_of

TOPIC = "agentmesh.requests.events.v1"
FIRST, SECOND = partitions_of(TOPIC, {TOPIC: 2})
READER = (Kind.PROJECTION, "requests")
GROUP = (Kind.CONSUMER_GROUP, "agentmesh.requests")


def reader(**places: int | None) -> list[Follower]:
    offsets = {FIRST: places.get("first", 0), SECOND: places.get("second", 0)}
    return [Follower(*READER, offsets)]


def group(first: int | None, second: int | None = 0) -> list[Follower]:
    return [Follower(*GROUP, {FIRST: first, SECOND: second})]


def test_the_groups_are_those_of_the_contexts_and_of_every_kind_of_agents_with_a_topic() -> None:
    commands, work = f"t-1.{commands_topic('requests')}", f"t-1.{work_topic('research')}"
    topics = {commands: 2, work: 1, work_topic("triage"): 12, "t-1.agentmesh.fleet.v1": 1}
    assert consumer_groups(("requests", "tasks"), topics, "t-1.") == {
        "t-1.agentmesh.requests": [Partition(commands, 0), Partition(commands, 1)],
        "t-1.agentmesh.tasks": [],  # its topic is not there, and nobody is asked about it
        "t-1.agentmesh.agents.research": [Partition(work, 0)],
    }


def test_a_group_that_never_committed_is_there_and_stands_nowhere() -> None:
    (found,) = of_groups({"g": [FIRST, SECOND]}, {})
    assert found == Follower(Kind.CONSUMER_GROUP, "g", {FIRST: None, SECOND: None})
    assert Looks().perhaps_deleted([found], {FIRST: 0, SECOND: 4}) == {SECOND}


def test_a_read_model_that_never_ran_is_at_the_beginning_and_a_process_manager_is_known_once_it_ran() -> None:
    topics = {f"t-1.{TOPIC}": 2, f"t-1.{events_topic('tasks')}": 1, TOPIC: 1}
    first, second = partitions_of(f"t-1.{TOPIC}", topics)
    other, foreign = Partition(f"t-1.{events_topic('tasks')}", 0), Partition(TOPIC, 0)
    gone = Partition(f"t-1.{events_topic('agents')}", 0)  # of a topic that is not there any more
    checkpoints = {"requests": {first: 5}, "requests-process": {first: 7, other: 2, foreign: 9, gone: 1}, "dropped": {first: 1}}
    read_models, process = of_checkpoints({"requests": ("requests", "agents")}, checkpoints, topics, "t-1.")
    assert read_models == Follower(Kind.PROJECTION, "requests", {first: 5, second: 0})
    assert process == Follower(Kind.PROCESS_MANAGER, "requests-process", {first: 7, other: 2})


def test_who_stands_at_the_end_lags_by_nothing_and_nothing_is_read() -> None:
    looks = Looks()
    assert looks.compare(reader(first=3, second=9), {FIRST: 3, SECOND: 8}, {}) == set()
    assert looks.lags({}, 100.0) == {READER: Lag(0, 0.0)}


def test_the_oldest_record_that_is_not_handled_says_how_many_seconds() -> None:
    looks = Looks()
    wanted = looks.compare(reader(first=3, second=6), {FIRST: 5, SECOND: 8}, {})
    assert wanted == {Place(FIRST, 3), Place(SECOND, 6)}
    assert looks.lags({Place(FIRST, 3): 90.0, Place(SECOND, 6): 70.0}, 100.0) == {READER: Lag(4, 30.0)}


def test_what_came_since_the_look_before_is_not_read_and_counts_as_new() -> None:
    looks = Looks()
    looks.compare(reader(first=3, second=8), {FIRST: 3, SECOND: 8}, {})
    assert looks.compare(reader(first=3, second=8), {FIRST: 6, SECOND: 8}, {}) == set()
    assert looks.lags({}, 100.0) == {READER: Lag(3, 0.0)}
    assert looks.compare(reader(first=3, second=8), {FIRST: 6, SECOND: 8}, {}) == {Place(FIRST, 3)}, "it still stands there"


def test_a_time_is_read_once_for_all_who_stand_at_the_place_and_forgotten_when_nobody_does() -> None:
    looks, place = Looks(), Place(FIRST, 3)
    both = [*reader(first=3), Follower(Kind.PROCESS_MANAGER, "p", {FIRST: 3})]
    assert looks.compare(both, {FIRST: 4}, {}) == {place}
    assert set(looks.lags({place: 60.0}, 100.0).values()) == {Lag(1, 40.0)}
    assert looks.compare(both, {FIRST: 4}, {}) == set()
    assert set(looks.lags({}, 110.0).values()) == {Lag(1, 50.0)}
    looks.compare(reader(first=4), {FIRST: 4}, {})
    assert looks.compare(reader(first=3), {FIRST: 4}, {}) == {place}


def test_a_group_that_committed_nothing_begins_at_what_is_left() -> None:
    looks = Looks()
    assert looks.compare(group(None, None), {FIRST: 12, SECOND: 0}, {FIRST: 10}) == {Place(FIRST, 10)}
    assert looks.lags({}, 100.0) == {GROUP: Lag(2, 0.0)}, "a time that could not be read makes nothing up"


def test_what_kafka_has_deleted_is_no_work_of_a_group_any_more() -> None:
    looks, ends = Looks(), {FIRST: 12}
    assert looks.perhaps_deleted(group(3), ends) == {FIRST}
    assert looks.compare(group(3), ends, {FIRST: 10}) == {Place(FIRST, 10)}, "it goes on at the first record that is left"
    assert looks.lags({Place(FIRST, 10): 90.0}, 100.0) == {GROUP: Lag(2, 10.0)}
    assert looks.compare(group(3), ends, {FIRST: 12}) == set(), "nothing is left, so nothing is asked for"
    assert looks.lags({}, 100.0) == {GROUP: Lag(0, 0.0)}


def test_what_kafka_has_deleted_is_still_before_a_read_model_which_has_it_from_the_store() -> None:
    looks, ends = Looks(), {FIRST: 12}
    assert looks.compare(reader(first=3), ends, {FIRST: 10}) == {Place(FIRST, 3)}
    assert looks.lags({Place(FIRST, 3): 90.0}, 100.0) == {READER: Lag(9, 10.0)}
    assert looks.compare(reader(first=3), ends, {FIRST: 12}) == set()
    assert looks.lags({}, 110.0) == {READER: Lag(9, 20.0)}, "what was read once is remembered"
    later = Looks()
    assert later.compare(reader(first=3), ends, {FIRST: 12}) == set()
    assert later.lags({}, 110.0) == {READER: Lag(9, 0.0)}, "no record is left that could say how old they are"


def test_only_where_somebody_stands_since_the_look_before_may_kafka_have_deleted_something() -> None:
    looks = Looks()
    looks.compare(group(3, 8), {FIRST: 3, SECOND: 8}, {})
    ends = {FIRST: 6, SECOND: 9}
    assert looks.perhaps_deleted([*group(3, 9), *reader(first=6, second=7)], ends) == {SECOND}


def test_a_group_that_was_set_back_lags_by_what_it_will_read_again() -> None:
    looks, ends = Looks(), {FIRST: 12}
    looks.compare(group(12), ends, {})
    assert looks.lags({}, 100.0) == {GROUP: Lag(0, 0.0)}
    assert looks.compare(group(5), ends, {FIRST: 2}) == {Place(FIRST, 5)}
    assert looks.lags({Place(FIRST, 5): 40.0}, 100.0) == {GROUP: Lag(7, 60.0)}


def test_a_clock_that_is_behind_makes_no_negative_age() -> None:
    looks = Looks()
    looks.compare(reader(first=1), {FIRST: 2}, {})
    assert looks.lags({Place(FIRST, 1): 105.0}, 100.0) == {READER: Lag(1, 0.0)}
