"""The OpenAPI document: every operation with texts, bodies, examples and errors; examples that the gateway itself takes."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from services.gateway.resources.request_operations import PASSWORD_RESET, REFUND
from tests.unit.services.gateway.arena import BASE, Arena, view

METHODS = ("get", "post", "patch", "delete", "put")


@pytest.fixture
async def document() -> Any:
    answer = await Arena().call("GET", "/openapi.json", role=None)
    assert answer.status_code == 200
    return answer.json()


def operations(document: Any) -> dict[str, Any]:
    return {
        operation["operationId"]: operation for path in document["paths"].values() for name, operation in path.items() if name in METHODS
    }


async def test_the_document_is_of_version_3_1_and_open_to_everybody(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": BASE}]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


async def test_every_operation_is_told_with_summary_description_and_errors(document: Any) -> None:
    found = {name: operation for name, operation in operations(document).items() if operation.get("security") != []}
    assert len(found) == sum(route.include_in_schema for router in Arena().routers for route in router.routes)
    for name, operation in found.items():
        assert operation["summary"], name
        assert "Permission: `" in operation["description"], name
        assert {"401", "403", "422", "429", "500", "503"} <= set(operation["responses"]), name


async def test_creating_is_told_with_its_rules_and_two_examples(document: Any) -> None:
    create = operations(document)["create_request"]
    for rule in ("1 to 10000 characters", "priority 2 (MEDIUM)", "assigned by triage"):
        assert rule in create["description"]
    content = create["requestBody"]["content"]["application/json"]
    assert {name: each["value"] for name, each in content["examples"].items()} == {"password_reset": PASSWORD_RESET, "refund": REFUND}
    assert (PASSWORD_RESET["priority"], PASSWORD_RESET["category"]) == (2, "account")
    assert (REFUND["priority"], REFUND["category"], set(REFUND["metadata"])) == (3, "refund", {"order_id", "amount"})  # type: ignore[call-overload]
    for status in ("201", "400", "429"):
        assert create["responses"][status]["content"]["application/json"]["example"]
    schema = content["schema"]
    assert set(schema["required"]) == {"customer_id", "message"}
    assert set(schema["properties"]) == {"customer_id", "message", "priority", "category", "metadata"}


async def test_the_examples_fit_their_schemas_and_are_taken(document: Any) -> None:
    arena = Arena()
    arena.reads.put(view())
    arena.settle(shows=view())
    calls = {
        "create_request": ("POST", "/api/v1/requests"),
        "update_request": ("PATCH", "/api/v1/requests/req-1"),
        "approve_request": ("POST", "/api/v1/requests/req-1/approve"),
    }
    for name, (method, path) in calls.items():
        content = operations(document)[name]["requestBody"]["content"]["application/json"]
        for each in content["examples"].values():
            jsonschema.validate(each["value"], content["schema"])
            assert (await arena.call(method, path, json=each["value"])).status_code in (200, 201)


async def test_every_example_fits_the_schema_beside_it(document: Any) -> None:
    tried = 0
    for name, operation in operations(document).items():
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in (content for each in contents for content in each.get("content", {}).values()):
            examples = [content["example"]] if "example" in content else [each["value"] for each in content.get("examples", {}).values()]
            for example in examples:
                try:
                    jsonschema.validate(example, {**content.get("schema", {}), "components": document["components"]})
                except jsonschema.ValidationError as error:
                    raise AssertionError(f"{name}: {error.message}") from None
                tried += 1
    assert tried > 100


async def test_what_is_answered_fits_the_schema_of_the_answer(document: Any) -> None:
    arena = Arena()
    arena.reads.put(view())
    arena.settle(shows=view())
    answers = {
        "create_request": await arena.call("POST", "/api/v1/requests", json=PASSWORD_RESET),
        "get_request": await arena.call("GET", "/api/v1/requests/req-1"),
        "list_requests": await arena.call("GET", "/api/v1/requests"),
        "request_history": await arena.call("GET", "/api/v1/requests/req-1/history"),
        "update_request": await arena.call("PATCH", "/api/v1/requests/req-1", json={"priority": 9}),
    }
    for name, answer in answers.items():
        told = operations(document)[name]["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        jsonschema.validate(answer.json(), {**told, "components": document["components"]})


async def test_the_document_refers_to_nothing_that_it_does_not_hold(document: Any) -> None:
    names = set(document["components"]["schemas"])

    def references(node: Any) -> set[str]:
        if isinstance(node, dict):
            return {node["$ref"]} if isinstance(node.get("$ref"), str) else set().union(*map(references, node.values()), set())
        return set().union(*map(references, node), set()) if isinstance(node, list) else set()

    assert references(document) <= {f"#/components/schemas/{name}" for name in names}
