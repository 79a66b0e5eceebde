"""Writes the dashboards' JSON from their code, and removes what no code makes any more; run by `make dashboards`."""

from __future__ import annotations

from infra.grafana.catalogue import BOARDS, FOLDER


def main() -> None:
    """Write one file a dashboard."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.stem not in BOARDS:
            path.unlink()
    for name, board in BOARDS.items():
        (FOLDER / f"{name}.json").write_text(board.text(), encoding="utf-8")
        print(f"infra/grafana/dashboards/{name}.json")


if __name__ == "__main__":
    main()
