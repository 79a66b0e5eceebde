"""Events of requests and tasks make the rows that are counted: status, category, escalation, ends, attempts, usage."""

from typing import Any

from projections.analytics.projection import ANALYTICS
from tests.mixed_log import ENDINGS, mixed_log
from tests.unit.projections.recording import tables_after

LOGS = mixed_log(len(ENDINGS))
ROWS = tables_after(ANALYTICS, [LOGS["requests"], LOGS["tasks"]])


def of(table: str, id_: str) -> dict[str, Any]:
    return ROWS[table, id_]


def test_a_request_counts_with_the_status_it_has_now() -> None:
    ends = {number: (of("requests", f"req-{number}")["status"], of("requests", f"req-{number}")["ended_at"]) for number in range(9)}
    assert [status for status, _ in ends.values()] == [
        "completed", "completed", "rejected", "rejected", "failed", "deleted", "failed", "approved", "awaiting_approval",
    ]  # fmt: skip
    assert [number for number, (_, ended_at) in ends.items() if ended_at is None] == [7, 8]
    assert [of("requests", f"req-{number}")["escalated"] for number in (0, 1, 6)] == [False, True, True]


def test_a_task_counts_with_its_outcome_attempts_and_work() -> None:
    research, timeout = of("tasks", "task-req-0-research"), of("tasks", "task-req-4-triage")
    assert (research["outcome"], research["attempts"], research["duration_ms"]) == ("SUCCESS", 2, 41)
    assert (timeout["outcome"], timeout["attempts"], timeout["duration_ms"]) == ("TIMEOUT", 3, None)


def test_what_every_attempt_used_is_a_row_of_its_own() -> None:
    used = [row for key, row in ROWS.items() if key[0] == "model_usage" and key[1] == "task-req-0-research"]
    assert [(row["model"], row["calls"], row["input_tokens"], row["cost"]) for row in used] == [("small", 2, 120, "0.0120")] * 2
