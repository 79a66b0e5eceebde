"""What the settings of a process say of its models and its payment service."""

from __future__ import annotations

from infra.agents.outside import NOTHING_OUTSIDE, connected
from infra.models.openai_compatible import OpenAICompatibleModel
from infra.models.settings import model_endpoint
from infra.payments.http import HttpPayments
from infra.settings import load_settings
from infra.telemetry.telemetry import Telemetry

FIRST = {"model_url": "http://127.0.0.1:9/v1/", "model_name": "large", "model_key": "k-1"}


def test_without_an_endpoint_there_is_no_model() -> None:
    assert model_endpoint(load_settings()) is None


def test_limits_and_key_of_the_endpoint_are_those_of_the_settings() -> None:
    found = model_endpoint(load_settings(**FIRST, model_request_limit=3, model_timeout_seconds=7, outage_patience_seconds=9))
    assert found is not None
    assert (found.url, found.name, found.key.get_secret_value()) == ("http://127.0.0.1:9/v1", "large", "k-1")
    assert (found.request_limit, found.timeout_seconds, found.patience_seconds, found.fallback) == (3, 7, 9, None)


def test_a_fallback_is_at_the_same_endpoint_unless_it_has_its_own() -> None:
    same = model_endpoint(load_settings(**FIRST, model_fallback_name="small"))
    other = model_endpoint(
        load_settings(**FIRST, model_fallback_name="small", model_fallback_url="http://127.0.0.1:8/v1", model_fallback_key="k-2")
    )
    assert same is not None
    assert same.fallback is not None
    assert other is not None
    assert other.fallback is not None
    assert (same.fallback.url, same.fallback.name, same.fallback.key.get_secret_value()) == ("http://127.0.0.1:9/v1", "small", "k-1")
    assert (other.fallback.url, other.fallback.key.get_secret_value()) == ("http://127.0.0.1:8/v1", "k-2")


async def test_a_host_connects_what_is_set_and_nothing_else() -> None:
    telemetry = Telemetry.for_tests()
    assert connected(load_settings(), telemetry, "triage") is NOTHING_OUTSIDE
    both = connected(load_settings(**FIRST, payments_url="http://127.0.0.1:7"), telemetry, "triage")
    paying = connected(load_settings(payments_url="http://127.0.0.1:7"), telemetry, "resolution")
    assert isinstance(both.model, OpenAICompatibleModel)
    assert isinstance(both.payments, HttpPayments)
    assert paying.model is None
    assert isinstance(paying.payments, HttpPayments)
    await both.close()
    await paying.close()
