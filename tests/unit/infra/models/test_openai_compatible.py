"""A model behind an HTTP endpoint: whatever the endpoint does, a question has one documented outcome."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from contracts.requests.values import Category, Confidence, ValidPriority
from infra.models.base import ModelError, ModelLimitExceeded, ModelNonsense, ModelRefused, ModelUnavailable, Question
from infra.models.openai_compatible import OpenAICompatibleModel
from infra.models.settings import ModelEndpoint as Endpoint
from infra.telemetry.telemetry import Telemetry
from tests.model_endpoint import ModelEndpoint, Reply, completion, failing, model_endpoint, structured, tool_call

GOOD = {"category": "billing", "priority": 3, "confidence": 0.9}
OTHER_SHAPE = {"topic": "billing"}
OUT_OF_RANGE = {**GOOD, "confidence": 7}
SECRET = "sk-very-secret"


class Triage(BaseModel):
    """What a request is about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: Category
    priority: ValidPriority
    confidence: Confidence


QUESTION = Question("triage", "Say what it is about.", {"message": "My invoice is wrong"}, Triage)


@pytest.fixture
def endpoint() -> Iterator[ModelEndpoint]:
    with model_endpoint() as server:
        yield server


class Asked:
    """A model over the test server, with the metrics that it counts on."""

    def __init__(self, model: OpenAICompatibleModel, telemetry: Telemetry) -> None:
        self.model = model
        self.telemetry = telemetry

    async def answer(self, question: Question[Any] = QUESTION) -> Any:
        return await self.model.answer(question)

    async def error(self, question: Question[Any] = QUESTION) -> ModelError:
        with pytest.raises(ModelError) as caught:
            await self.model.answer(question)
        return caught.value

    def sample(self, metric: str, **labels: str) -> float | None:
        return self.telemetry.metrics.registry.get_sample_value(metric, labels)


@asynccontextmanager
async def asking(server: ModelEndpoint, **changed: Any) -> AsyncIterator[Asked]:
    """A model at the test server."""
    telemetry = Telemetry.for_tests()
    settings = replace(Endpoint(server.url, "gpt-4o-mini", SecretStr(SECRET), timeout_seconds=5.0), **changed)
    async with httpx2.AsyncClient() as client:
        yield Asked(OpenAICompatibleModel(settings, telemetry, client, "triage"), telemetry)


async def test_an_answer_is_a_valid_value_with_its_usage_and_its_cost(endpoint: ModelEndpoint) -> None:
    endpoint.script = [structured(GOOD, (1_000, 100))]
    async with asking(endpoint) as asked:
        answered = await asked.answer()
    assert answered.output == Triage(category=Category.BILLING, priority=3, confidence=0.9)
    usage = answered.usage
    assert (usage.model, usage.calls, usage.input_tokens, usage.output_tokens) == ("gpt-4o-mini", 1, 1_000, 100)
    assert Decimal(0) < usage.cost < Decimal("0.01")
    assert usage.prices is not None
    assert usage.prices.startswith("genai-prices ")
    assert endpoint.keys == [f"Bearer {SECRET}"]
    sent = endpoint.asked[0]
    assert "My invoice is wrong" in str(sent["messages"])
    assert "Say what it is about." in str(sent["messages"])


async def test_a_model_without_a_known_price_costs_nothing_and_says_so(endpoint: ModelEndpoint) -> None:
    endpoint.script = [structured(GOOD)]
    async with asking(endpoint, name="our-own-model") as asked:
        usage = (await asked.answer()).usage
    assert (usage.cost, usage.prices, usage.input_tokens) == (Decimal(0), None, 40)


async def test_an_error_500_is_tried_again_and_counted(endpoint: ModelEndpoint) -> None:
    endpoint.script = [failing(500), failing(503), structured(GOOD)]
    async with asking(endpoint) as asked:
        assert (await asked.answer()).output.category is Category.BILLING
        assert asked.sample("agentmesh_retries_total", name="model.triage") == 2
    assert endpoint.calls == 3


async def test_an_endpoint_that_keeps_failing_is_unavailable_after_three_tries(endpoint: ModelEndpoint) -> None:
    endpoint.then = failing(500)
    async with asking(endpoint) as asked:
        assert type(await asked.error()) is ModelUnavailable
    assert endpoint.calls == 3


async def test_a_wait_that_was_asked_for_is_waited(endpoint: ModelEndpoint) -> None:
    endpoint.script = [failing(429, retry_after="1"), structured(GOOD)]
    async with asking(endpoint) as asked:
        loop_time = asyncio.get_running_loop().time
        began = loop_time()
        await asked.answer()
        assert loop_time() - began >= 1.0
    assert endpoint.calls == 2


async def test_a_wait_that_is_too_long_fails_the_attempt_at_once_and_says_how_long(endpoint: ModelEndpoint) -> None:
    endpoint.then = failing(429, retry_after="3600")
    async with asking(endpoint) as asked:
        error = await asked.error()
    assert isinstance(error, ModelUnavailable)
    assert error.retry_after == 3600
    assert endpoint.calls == 1


async def test_an_outage_is_waited_for_and_what_it_used_is_counted(endpoint: ModelEndpoint) -> None:
    endpoint.script = [structured(OTHER_SHAPE, (40, 12)), *[failing(503)] * 3, structured(GOOD, (60, 12))]
    async with asking(endpoint, patience_seconds=5.0) as asked:
        answered = await asked.answer()
    assert answered.output.category is Category.BILLING
    assert (answered.usage.calls, answered.usage.input_tokens) == (2, 100)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_never_retried_and_does_not_open_the_circuit(endpoint: ModelEndpoint, status: int) -> None:
    endpoint.then = failing(status, "you may not")
    async with asking(endpoint) as asked:
        for _ in range(6):
            error = await asked.error()
            assert type(error) is ModelRefused
            assert error.final
        assert asked.sample("agentmesh_circuit_state", name="model.triage") == 0
    assert endpoint.calls == 6
    assert SECRET not in str(error)


async def test_five_questions_without_an_answer_open_the_circuit(endpoint: ModelEndpoint) -> None:
    endpoint.then = failing(429, retry_after="3600")  # the quickest way to fail for good
    async with asking(endpoint) as asked:
        for _ in range(5):
            await asked.error()
        assert asked.sample("agentmesh_circuit_state", name="model.triage") == 1
        error = await asked.error()
    assert isinstance(error, ModelUnavailable)
    assert endpoint.calls == 5


async def test_an_answer_that_comes_too_late_is_unavailable(endpoint: ModelEndpoint) -> None:
    endpoint.then = lambda asked: replace(structured(GOOD)(asked), wait=2.0)
    async with asking(endpoint, timeout_seconds=0.2) as asked:
        assert type(await asked.error()) is ModelUnavailable
    assert endpoint.calls == 3


async def test_an_answer_that_stalls_on_its_way_is_tried_again(endpoint: ModelEndpoint) -> None:
    endpoint.script = [lambda asked: replace(structured(GOOD)(asked), stall_after=40, stall=2.0), structured(GOOD)]
    async with asking(endpoint, timeout_seconds=0.3) as asked:
        assert (await asked.answer()).output.priority == 3
    assert endpoint.calls == 2


async def test_a_body_that_was_cut_off_is_tried_again(endpoint: ModelEndpoint) -> None:
    endpoint.script = [lambda asked: Reply(body=structured(GOOD)(asked).body[:-40]), structured(GOOD)]
    async with asking(endpoint) as asked:
        assert (await asked.answer()).output.priority == 3
    assert endpoint.calls == 2


@pytest.mark.parametrize("body", [b"{}", b'{"choices": []}', b"<html>not here</html>", b"[]"])
async def test_a_server_that_is_no_such_endpoint_is_unavailable(endpoint: ModelEndpoint, body: bytes) -> None:
    endpoint.then = lambda asked: Reply(body=body)
    async with asking(endpoint) as asked:
        assert type(await asked.error()) is ModelUnavailable
    assert endpoint.calls == 3


@pytest.mark.parametrize("nonsense", [OTHER_SHAPE, OUT_OF_RANGE, '{"category": "bill', "no JSON at all"])
async def test_an_answer_that_does_not_fit_is_asked_to_be_mended(endpoint: ModelEndpoint, nonsense: Any) -> None:
    endpoint.script = [structured(nonsense, (40, 12)), structured(GOOD, (60, 12))]
    async with asking(endpoint) as asked:
        answered = await asked.answer()
    assert answered.output.category is Category.BILLING
    assert (answered.usage.calls, answered.usage.input_tokens) == (2, 100)


@pytest.mark.parametrize("nonsense", [OTHER_SHAPE, OUT_OF_RANGE, '{"category": "bill'])
async def test_an_answer_that_never_fits_is_nonsense_and_its_cost_is_told(endpoint: ModelEndpoint, nonsense: Any) -> None:
    endpoint.then = structured(nonsense, (40, 12))
    async with asking(endpoint) as asked:
        error = await asked.error()
        assert type(error) is ModelNonsense
        assert not error.final
        assert error.usage is not None
        assert (error.usage.calls, error.usage.input_tokens) == (3, 120)
        assert asked.sample("agentmesh_circuit_state", name="model.triage") == 0
    assert endpoint.calls == 3


async def test_text_instead_of_the_answer_is_nonsense_in_the_end(endpoint: ModelEndpoint) -> None:
    def prose(asked: dict[str, Any]) -> Reply:
        body = completion(asked, [], (10, 5)).body.replace(b'"content": null', b'"content": "It is about billing"')
        return Reply(body=body.replace(b'"finish_reason": "tool_calls"', b'"finish_reason": "stop"'))

    endpoint.then = prose
    async with asking(endpoint) as asked:
        assert type(await asked.error()) is ModelNonsense


async def test_the_limit_of_requests_ends_a_question(endpoint: ModelEndpoint) -> None:
    endpoint.then = structured(OTHER_SHAPE)
    async with asking(endpoint, request_limit=2) as asked:
        error = await asked.error()
    assert type(error) is ModelLimitExceeded
    assert error.final
    assert endpoint.calls == 2


async def test_the_limit_of_tokens_ends_a_question(endpoint: ModelEndpoint) -> None:
    endpoint.then = structured(GOOD, (5_000, 10))
    async with asking(endpoint, input_tokens_limit=1_000) as asked:
        error = await asked.error()
    assert type(error) is ModelLimitExceeded
    assert error.usage is not None
    assert error.usage.input_tokens == 5_000


async def test_what_the_content_filter_refuses_is_refused(endpoint: ModelEndpoint) -> None:
    endpoint.then = lambda asked: completion(asked, [], (10, 0), finish="content_filter")
    async with asking(endpoint) as asked:
        assert type(await asked.error()) is ModelRefused


async def test_the_fallback_answers_while_the_first_model_is_away(endpoint: ModelEndpoint) -> None:
    endpoint.then = lambda asked: (structured(GOOD) if asked["model"] == "second" else failing(503))(asked)
    async with asking(endpoint, fallback=Endpoint(endpoint.url, "second", timeout_seconds=5.0)) as asked:
        answered = await asked.answer()
        assert asked.sample("agentmesh_circuit_state", name="model-fallback.triage") == 0
    assert answered.usage.model == "second"
    assert [asked["model"] for asked in endpoint.asked] == ["gpt-4o-mini"] * 3 + ["second"]


async def test_a_refusal_is_not_put_to_the_fallback(endpoint: ModelEndpoint) -> None:
    endpoint.then = failing(401)
    async with asking(endpoint, fallback=Endpoint(endpoint.url, "second")) as asked:
        assert type(await asked.error()) is ModelRefused
    assert endpoint.calls == 1


async def test_both_models_away_is_unavailable(endpoint: ModelEndpoint) -> None:
    endpoint.then = failing(429, retry_after="600")
    async with asking(endpoint, fallback=Endpoint(endpoint.url, "second")) as asked:
        error = await asked.error()
    assert type(error) is ModelUnavailable
    assert endpoint.calls == 2


async def test_a_tool_is_called_with_what_the_model_said_and_its_answer_goes_back(endpoint: ModelEndpoint) -> None:
    looked_up: list[str] = []

    async def invoice(number: str) -> str:
        """The state of an invoice.

        Args:
            number: As printed on the invoice.
        """
        looked_up.append(number)
        return "paid twice"

    endpoint.script = [tool_call("invoice", {"number": "R-17"}), structured(GOOD)]
    async with asking(endpoint) as asked:
        answered = await asked.answer(replace(QUESTION, tools=[invoice]))
    assert looked_up == ["R-17"]
    assert answered.usage.calls == 2
    assert "paid twice" in str(endpoint.asked[1]["messages"])
    told = next(tool["function"] for tool in endpoint.asked[0]["tools"] if tool["function"]["name"] == "invoice")
    assert told["description"] == "The state of an invoice."
    assert told["parameters"]["properties"]["number"]["description"] == "As printed on the invoice."


async def test_no_more_requests_are_under_way_than_the_settings_allow(endpoint: ModelEndpoint) -> None:
    under_way: list[int] = []
    lock = threading.Lock()

    def slow(asked: dict[str, Any]) -> Reply:
        with lock:
            under_way.append((under_way[-1] if under_way else 0) + 1)
        time.sleep(0.05)
        with lock:
            under_way.append(under_way[-1] - 1)
        return structured(GOOD)(asked)

    endpoint.then = slow
    async with asking(endpoint, concurrency=2) as asked:
        await asyncio.gather(*(asked.answer() for _ in range(6)))
    assert max(under_way) == 2


async def test_questions_share_their_connections(endpoint: ModelEndpoint) -> None:
    endpoint.then = structured(GOOD)
    async with asking(endpoint) as asked:
        for _ in range(5):
            await asked.answer()
    assert (endpoint.calls, endpoint.connections) == (5, 1)


def test_the_key_shows_nowhere() -> None:
    assert SECRET not in repr(Endpoint("http://127.0.0.1/v1", "m", SecretStr(SECRET)))


async def test_outside_of_such_a_server_no_test_can_ask_a_model() -> None:
    async with httpx2.AsyncClient() as client:
        model = OpenAICompatibleModel(Endpoint("http://127.0.0.1:9/v1", "m"), Telemetry.for_tests(), client, "triage")
        with pytest.raises(RuntimeError, match="not allowed"):
            await model.answer(QUESTION)
