"""What a task works for is bound in one step, read lazily, and put back."""

from types import SimpleNamespace
from typing import Any

from infra.telemetry.context import NOTHING, LogContext, bind, bind_message, current


def message(**fields: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"correlation_id": "c", "causation_id": "k", "tenant_id": "t", "traceparent": None, **fields})


def test_nothing_is_bound_at_first() -> None:
    assert current() == NOTHING == LogContext()


def test_a_message_needs_four_attributes_only() -> None:
    with bind_message(message()):
        assert current() == LogContext(correlation_id="c", causation_id="k", tenant_id="t")
    assert current() is NOTHING


def test_bindings_nest_and_are_undone_also_by_an_exception() -> None:
    with bind_message(message(tenant_id="outer")):
        try:
            with bind(user_id="u", tenant_id="inner"):
                assert current() == LogContext(correlation_id="c", causation_id="k", tenant_id="inner", user_id="u")
                raise KeyError
        except KeyError:
            pass
        assert current().tenant_id == "outer"
        assert current().user_id is None


def test_empty_texts_of_headers_count_as_none() -> None:
    with bind_message(message(tenant_id="", correlation_id="")):
        assert (current().tenant_id, current().correlation_id) == (None, None)


def test_only_a_user_becomes_user_id_and_only_a_requests_subject_request_id() -> None:
    with bind_message(message(auth_type="agent", auth_id="a-1", type_name="agentmesh.tasks.CreateTask.v1", subject="task-1")):
        assert (current().user_id, current().request_id) == (None, None)
    with bind_message(message(request_id="req-9", subject="task-1")):
        assert current().request_id == "req-9"
