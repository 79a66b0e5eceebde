"""The dashboards' JSON is what their code makes, is valid by Grafana's own schema, and asks only for metrics that exist."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from infra.grafana.catalogue import BOARDS, FOLDER
from infra.telemetry import names
from tests.alert_rules import all_rules, asks_our_job, selectors
from tests.panel_queries import PanelQuery, annotations, documents, filled_in, panels, queries, statement

ROOT = Path(__file__).resolve().parents[4]
SCHEMA = json.loads((ROOT / "tests" / "data" / "grafana-schema.json").read_text(encoding="utf-8"))
DOCUMENTS = documents()
QUERIES = [query for board, document in DOCUMENTS.items() for query in queries(board, document)]
MARKS = [mark for board, document in DOCUMENTS.items() for mark in annotations(board, document)]
# What Prometheus itself and the client's own collectors tell.
FOREIGN = re.compile(r"up|scrape_duration_seconds|process_\w+|python_gc_\w+")
RECORDED = {rule.name for rule in all_rules() if not rule.is_alert}
SUFFIX = re.compile(r"_(bucket|count|sum)$")
# Parts of a query of the Prometheus and Postgres data sources, which are plugins with schemas of their own.
TARGET_KEYS = {
    "promql": {"refId", "datasource", "expr", "legendFormat", "instant", "range", "exemplar"},
    "sql": {"refId", "datasource", "editorMode", "format", "rawQuery", "rawSql"},
}
MARK_KEYS = {"expr", "titleFormat"}
UNITS = {
    "none", "short", "s", "ms", "bytes", "percentunit", "reqps", "cps", "cpm", "currencyUSD",
}  # fmt: skip


def by_name(board: str) -> dict[str, Any]:
    return copy.deepcopy(DOCUMENTS[board])


def faults(document: dict[str, Any]) -> list[str]:
    """What Grafana's schema says against a dashboard, its panels' own options included."""
    judged = copy.deepcopy(document)
    for mark in judged["annotations"]["list"]:
        for key in MARK_KEYS:
            mark.pop(key, None)
    found = [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA["dashboard"]).iter_errors(judged)]
    for panel in panels(document):
        for part, value in (("options", panel.get("options", {})), ("custom", panel["fieldConfig"]["defaults"].get("custom", {}))):
            schema = SCHEMA.get(f"{panel['type']}-{part}", {"type": "object", "additionalProperties": False})
            found += [f"{panel['title']}: {error.json_path}: {error.message}" for error in Draft7Validator(schema).iter_errors(value)]
        for target in panel["targets"]:
            unknown = set(target) - TARGET_KEYS["sql" if "rawSql" in target else "promql"]
            found += [f"{panel['title']}: a query has no {key}" for key in unknown]
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_the_committed_file_is_what_the_code_makes(name: str) -> None:
    assert (FOLDER / f"{name}.json").read_text(encoding="utf-8") == BOARDS[name].text(), "run: make dashboards"
    assert BOARDS[name].text() == BOARDS[name].text()


def test_there_is_no_file_without_code() -> None:
    assert set(DOCUMENTS) == set(BOARDS)
    assert len({board.uid for board in BOARDS.values()}) == len(BOARDS) == 7


@pytest.mark.parametrize("name", BOARDS)
def test_it_is_valid_by_grafanas_schema(name: str) -> None:
    assert faults(by_name(name)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("timepicker", "refresh"), True),
        (("panels", 1, "fieldConfig", "defaults", "unitt"), "s"),
        (("panels", 1, "options", "colorMode"), "colourful"),
        (("panels", 1, "options", "colourMode"), "value"),
        (("panels", 1, "gridPos", "w"), "three"),
        (("panels", 1, "targets", 0, "expression"), "up"),
        (("templating", "list", 0, "type"), "data source"),
        (("annotations", "list", 0, "colour"), "red"),
        (("refreshh",), "30s"),
    ],
)
def test_a_planted_fault_is_caught(path: tuple[str | int, ...], value: Any) -> None:
    document = by_name("fleet")
    place: Any = document
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert len(faults(document)) >= 1


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_says_what_it_shows_and_what_a_bad_value_means(name: str) -> None:
    document = by_name(name)
    # A number and its course may share a title.
    titles = [(panel["title"], panel["type"]) for panel in panels(document)]
    assert len(titles) == len(set(titles)), "titles are how people speak of panels"
    for panel in panels(document):
        assert len(panel["description"]) >= 40, panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["targets"], panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_the_first_row_says_whether_all_is_well(name: str) -> None:
    row, *rest = by_name(name)["panels"]
    assert (row["type"], row["title"]) == ("row", "Is all well?")
    first = []
    for panel in rest:
        if panel["type"] == "row":
            break
        first.append(panel)
    assert {panel["type"] for panel in first} == {"stat"}
    judged = [panel for panel in first if len(panel["fieldConfig"]["defaults"]["thresholds"]["steps"]) > 1]
    assert len(judged) >= 3, "numbers without a colour judge nothing"
    assert sum(panel["gridPos"]["w"] for panel in first) == 24


@pytest.mark.parametrize("name", BOARDS)
def test_panels_lie_side_by_side_and_fill_their_lines(name: str) -> None:
    document = by_name(name)
    taken: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert place["x"] + place["w"] <= 24, panel["title"]
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_can_be_provisioned_anywhere(name: str) -> None:
    document = by_name(name)
    assert document["id"] is None
    assert (document["uid"], document["tags"], document["editable"]) == (BOARDS[name].uid, ["agentmesh"], False)
    variables = {variable["name"]: variable for variable in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    sources = {json.dumps(target["datasource"], sort_keys=True) for panel in panels(document) for target in panel["targets"]}
    assert sources <= {
        json.dumps({"type": "prometheus", "uid": "${datasource}"}),
        json.dumps({"type": "grafana-postgresql-datasource", "uid": "${postgres}"}),
    }
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(document["panels"])))
    assert {found for found in used if not found.startswith("__") and not found.isdigit()} <= set(variables)
    (link,) = document["links"]
    assert (link["type"], link["tags"]) == ("dashboards", ["agentmesh"])
    assert {mark["name"] for mark in document["annotations"]["list"]} == {"Restarts", "Rebalances"}


def test_links_lead_somewhere() -> None:
    known = {board.uid for board in BOARDS.values()}
    links = [link for document in DOCUMENTS.values() for panel in panels(document) for link in panel.get("links", [])]
    boards = [link["url"].removeprefix("/d/") for link in links if link["url"].startswith("/d/")]
    books = [link["url"].rpartition("/")[2] for link in links if link["title"] == "Runbook"]
    assert boards
    assert set(boards) <= known
    assert links
    assert [book for book in sorted(set(books)) if not (ROOT / "docs" / "runbooks" / book).exists()] == []


def unknown_metrics(query: PanelQuery) -> list[str]:
    known = {value for value in vars(names).values() if isinstance(value, str)}
    read = [selector.name for selector in selectors(filled_in(query.text))]
    assert read, f"{query.place} reads no metric"
    return [name for name in read if not (name in known or SUFFIX.sub("", name) in known or FOREIGN.fullmatch(name) or name in RECORDED)]


def test_every_expression_parses_and_reads_metrics_that_exist() -> None:
    read = [query for query in [*QUERIES, *MARKS] if query.language == "promql"]
    assert len(read) > 100
    assert {query.place: found for query in read if (found := unknown_metrics(query))} == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [("sum(rate(agentmesh_events_relayed_total[$__rate_interval])", "unclosed"), ("rate(agentmesh_retries_total)", "matrix")],
)
def test_a_planted_error_in_an_expression_is_caught(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unknown_metrics(PanelQuery("fleet", "planted", "stat", "A", "promql", text))


def test_names_that_others_use_too_are_asked_of_our_job() -> None:
    asked = [
        (query.place, selector)
        for query in [*QUERIES, *MARKS]
        if query.language == "promql"
        for selector in selectors(filled_in(query.text))
    ]
    common = [
        (place, selector) for place, selector in asked if not selector.name.startswith("agentmesh_") and selector.name not in RECORDED
    ]
    assert common
    assert [place for place, selector in common if not asks_our_job(selector)] == []


def test_a_planted_metric_that_does_not_exist_is_caught() -> None:
    planted = PanelQuery("fleet", "planted", "stat", "A", "promql", "sum(rate(agentmesh_events_relaid_total[5m])) + max(up)")
    assert unknown_metrics(planted) == ["agentmesh_events_relaid_total"]


def test_variables_are_filled_in_as_grafana_does() -> None:
    assert filled_in('x{worker=~"$worker"}[$__rate_interval] "${1}xx" $1 ${tenant:regex}') == 'x{worker=~".*"}[5m] "${1}xx" $1 .*'
    given = "WHERE $__timeFilter(t.at) AND tenant_id IN (${tenant:sqlstring}) AND id = ${request:sqlstring}"
    expected = "WHERE t.at BETWEEN to_timestamp(1) AND to_timestamp(2) AND tenant_id IN ('a', 'o''b') AND id = ''"
    assert statement(given, ["a", "o'b"], 1, 2) == expected


def test_provisioning_names_what_the_boards_ask_for() -> None:
    folder = ROOT / "infra" / "grafana" / "provisioning"
    sources = {source["type"]: source for source in yaml.safe_load((folder / "datasources" / "agentmesh.yaml").read_text())["datasources"]}
    assert set(sources) == {"prometheus", "jaeger", "grafana-postgresql-datasource"}
    (exemplars,) = sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert (exemplars["name"], exemplars["datasourceUid"]) == ("trace_id", sources["jaeger"]["uid"])
    assert [source["type"] for source in sources.values() if source.get("isDefault")] == ["prometheus"]
    assert all(source["editable"] is False for source in sources.values())
    assert "$" in sources["grafana-postgresql-datasource"]["secureJsonData"]["password"], "no password in a file"
    (provider,) = yaml.safe_load((folder / "dashboards" / "agentmesh.yaml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"], provider["disableDeletion"]) == ("file", False, True)
