"""docs/metrics.md says what the code shows."""

import re
from pathlib import Path

from infra.telemetry.metrics import Metrics
from infra.telemetry.reference import metric_table

PAGE = Path(__file__).resolve().parents[4] / "docs" / "metrics.md"


def test_the_reference_of_metrics_is_the_generated_one() -> None:
    table = re.search(r"<!-- metrics: [^>]*-->\n(.*?)\n<!-- end of metrics -->", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    assert table.group(1) == metric_table(Metrics()), "put the output of `python -m infra.telemetry.reference` between the marks"


def test_a_row_tells_kind_labels_meaning_and_bounds() -> None:
    rows = metric_table(Metrics()).splitlines()
    assert "| `app_info` | info | `version`, `environment` | Version and environment of the running software. |" in rows
    (run,) = [row for row in rows if "`agentmesh_task_execution_seconds`" in row]
    assert run.startswith("| `agentmesh_task_execution_seconds` | histogram | `agent_id`, `task_type` |")
    assert run.endswith("Bounds: 0.05, 0.25, 1, 5, 30, 120. |")
