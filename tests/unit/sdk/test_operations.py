"""Every operation of the gateway's document is a method of both clients, and calls what the document says."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import httpx2
import pytest

from agentmesh_client import AgentMesh, AgentMeshError, AsyncAgentMesh, Retries
from tests.unit.services.gateway.arena import Arena

LEFT_OUT = {
    "create_token": "the client signs in by itself",
    **dict.fromkeys(
        [
            *("create_agent", "list_agents", "get_agent", "terminate_agent"),
            *("suspend_agent", "resume_agent", "drain_agent", "change_agent_capabilities"),
        ],
        "agents are those of version 2",
    ),
}
NAMED = {"stream_events": "events", "stream_request": "request_events"}
ARGUMENTS: dict[str, Any] = {
    "capabilities": {"billing": 3},
    "position": 17,
    "settings": {"four_eyes": True},
    "context": "requests",
    "tier": "premium",
    "email": "ann@example.com",
}


async def document() -> dict[str, Any]:
    found: dict[str, Any] = (await Arena().call("GET", "/openapi.json")).json()
    return found


def method_of(operation_id: str) -> str:
    return NAMED.get(operation_id, operation_id.removesuffix("_v2"))


async def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, item in (await document())["paths"].items()
        for method, operation in item.items()
        if operation["operationId"] not in LEFT_OUT
    ]


def needed_by(method: Any) -> list[Any]:
    """A value for each argument that the method must have."""
    parameters = inspect.signature(method).parameters.values()
    needed = [each.name for each in parameters if each.default is each.empty and each.kind != each.VAR_KEYWORD]
    return [ARGUMENTS.get(each, f"a {each}") for each in needed]


def called(name: str) -> httpx2.Request:
    """What the method sends, with each argument that it must have."""
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(404, json={})

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    with AgentMesh("https://mesh.example", token="t", retries=Retries(attempts=1), http=http) as mesh, http:
        method = getattr(mesh, name)
        arguments = needed_by(method)
        with pytest.raises(AgentMeshError):
            next(method(*arguments))  # a stream is opened when its first event is asked for
    return sent[0]


async def test_every_operation_is_a_method_or_left_out_for_a_reason() -> None:
    names = {operation["operationId"] for item in (await document())["paths"].values() for operation in item.values()}
    assert set(LEFT_OUT) <= names
    methods = {method_of(each) for each in names - set(LEFT_OUT)}
    assert len(methods) == len(names) - len(LEFT_OUT)
    assert {client: [each for each in methods if not callable(getattr(client, each, None))] for client in (AgentMesh, AsyncAgentMesh)} == {
        AgentMesh: [],
        AsyncAgentMesh: [],
    }


async def test_every_method_calls_the_path_of_its_operation_with_a_key_where_it_takes_one() -> None:
    for method, path, operation in await operations():
        sent = called(method_of(operation["operationId"]))
        pattern = re.sub(r"\{[^}]*\}", "[^/]+", path)
        assert (sent.method, bool(re.fullmatch(pattern, sent.url.raw_path.decode().split("?")[0]))) == (method, True), sent.url
        takes = {each["name"] for each in operation.get("parameters", [])}
        assert ("idempotency-key" in sent.headers) == ("Idempotency-Key" in takes), path
        assert sent.headers["x-correlation-id"]


async def test_every_parameter_and_field_of_the_document_can_be_given() -> None:
    ours = {"to": "to", "from": "begin", "Last-Event-ID": "last_event_id", "context": "contexts", "type": "types"}
    for _, path, operation in await operations():
        name = method_of(operation["operationId"])
        taken = set(inspect.signature(getattr(AgentMesh, name)).parameters)
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        named = {each["name"] for each in operation.get("parameters", [])} | set(content.get("schema", {}).get("properties", {}))
        named -= {"Idempotency-Key", "Prefer", "min_position", "approved"}
        if "settings" in taken and name != "create_tenant":
            named = {each for each in named if each == "tenant_id"}
        if name in ("register_customer", "change_customer_contact"):
            named = (named - {"contact"}) | {"email", "phone"}
        missing = {each for each in named if each not in taken and ours.get(each) not in taken}
        assert not missing, f"{path}: {name} does not take {missing}"


@pytest.mark.parametrize("whole", [True, False], ids=["every field", "required fields only"])
async def test_every_answer_of_the_document_is_read_with_all_its_fields(whole: bool) -> None:
    schemas = (await document())["components"]["schemas"]
    for _, path, operation in await operations():
        for status, said in operation["responses"].items():
            content = said.get("content", {}).get("application/json")
            if status not in ("200", "201") or content is None:
                continue
            sent = sample(content["schema"], schemas, whole)
            read = answered(method_of(operation["operationId"]), int(status), sent)
            assert not unread(sent, read.model_dump(by_alias=True, mode="json")), f"{path}: {type(read).__name__}"


def sample(schema: dict[str, Any], schemas: dict[str, Any], whole: bool) -> Any:
    """A value that fits the schema."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, whole)
    if "anyOf" in schema:
        kinds = schema["anyOf"]
        return None if not whole and {"type": "null"} in kinds else sample(kinds[0], schemas, whole)
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        names = schema["properties"] if whole else schema.get("required", [])
        return {name: sample(schema["properties"][name], schemas, whole) for name in names}
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return {"a": sample(more, schemas, whole)}
    if "items" in schema:
        return [sample(schema["items"], schemas, whole)]
    text = "2026-05-04T12:00:00Z" if schema.get("format") == "date-time" else "7"
    return {"object": {}, "string": text, "boolean": True, "integer": 1, "number": 1}.get(schema.get("type", ""))


def unread(sent: Any, read: Any, where: str = "") -> list[str]:
    """The fields that were sent and are not in what was read."""
    if isinstance(sent, dict):
        missing = [f"{where}.{name}" for name in sent if name not in read]
        return missing + [each for name in sent if name in read for each in unread(sent[name], read[name], f"{where}.{name}")]
    if isinstance(sent, list):
        return [each for one, other in zip(sent, read, strict=True) for each in unread(one, other, where)]
    return []


def test_a_field_that_is_not_read_is_found() -> None:
    assert unread({"a": [{"b": 1, "c": 2}]}, {"a": [{"b": 1}]}) == [".a.c"]


def answered(name: str, status: int, example: Any) -> Any:
    """What the method makes of this answer."""
    transport = httpx2.MockTransport(lambda request: httpx2.Response(status, json=example))
    with httpx2.Client(transport=transport) as http:
        method = getattr(AgentMesh("https://mesh.example", token="t", http=http), name)
        return method(*needed_by(method))


@pytest.mark.parametrize("client", [AgentMesh, AsyncAgentMesh])
def test_methods_tell_what_they_take(client: Any) -> None:
    assert list(inspect.signature(client.create_request).parameters)[:3] == ["self", "customer_id", "message"]
    assert "Create a request" in client.create_request.__doc__
    assert "all pages" in client.all_tasks.__doc__


def test_an_id_is_one_segment_of_the_path_whatever_is_in_it() -> None:
    sent: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.url.raw_path.decode())
        return httpx2.Response(404, json=json.loads("{}"))

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http, pytest.raises(AgentMeshError):
        AgentMesh("https://mesh.example", token="t", http=http).get_request("../agents?x=1#y")
    assert sent == ["/api/v1/requests/..%2Fagents%3Fx%3D1%23y"]
