"""Writes the dashboards' JSON from their code, and removes what no code makes any more; run by `make dashboards`.

AGENTMESH_RUNBOOKS_URL, without a slash at its end, is where people read the runbooks; the alerts link there too.
"""

from __future__ import annotations

import os

from infra.grafana.board import RUNBOOKS
from infra.grafana.catalogue import BOARDS, FOLDER


def main() -> None:
    """Write one file a dashboard."""
    runbooks_url = os.environ.get("AGENTMESH_RUNBOOKS_URL", RUNBOOKS)
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.stem not in BOARDS:
            path.unlink()
    for name, board in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(board.text(runbooks_url), encoding="utf-8")
        print(f"infra/grafana/dashboards/{name}.json")


if __name__ == "__main__":
    main()
