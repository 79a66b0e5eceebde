"""The published table of statuses says what the aggregate does: after every event of every recorded stream both have the same."""

from contracts.requests.statuses import STATUS_AFTER
from contracts.requests.values import RequestStatus
from services.requests.domain import Request, evolve
from tests.mixed_log import mixed_log


def test_the_published_statuses_are_those_of_the_aggregate() -> None:
    states: dict[str, Request | None] = {}
    published: dict[str, RequestStatus] = {}
    for recorded in mixed_log()["requests"]:
        event = recorded.event()
        stream = recorded.aggregate_id
        states[stream] = evolve(states.get(stream), event)
        published[stream] = STATUS_AFTER.get(type(event), published.get(stream, RequestStatus.PENDING))
        assert states[stream].status is published[stream], (stream, type(event).__name__)
