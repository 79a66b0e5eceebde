"""Asks any OpenAI-compatible endpoint through pydantic-ai: a question in, a validated answer and its usage out; built by agent hosts.

Each request to the endpoint passes bulkhead, breaker, retry and time limit, from the outside in, so that a question which takes several
requests (a tool, an answer to mend) repeats only the one that failed. A fallback model has its own circuit, and is asked when the first
one cannot be reached or its circuit is open. Around the question lies patience: a run waits for a model that is away.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from decimal import Decimal
from importlib.metadata import version
from typing import Any, Final

import httpx2
import openai
from opentelemetry import trace
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.exceptions import (
    AgentRunError,
    ContentFilterError,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    ModelQuotaExceededError,
    UnexpectedModelBehavior,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    ModelResponseStreamEvent,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RunUsage

from contracts.tasks.values import ModelUsage
from infra.errors import TransientError
from infra.models.base import (
    Answered,
    ModelError,
    ModelLimitExceeded,
    ModelNonsense,
    ModelRefused,
    ModelUnavailable,
    Question,
    Said,
    added,
)
from infra.models.settings import ModelEndpoint
from infra.resilience.bounded_retry import RetryPolicy
from infra.resilience.breaker import BreakerPolicy
from infra.resilience.bulkhead import BulkheadPolicy
from infra.resilience.patience import Patience
from infra.resilience.protection import Protection
from infra.telemetry.telemetry import Telemetry

MENDS = 2
"""How often a model is told what is wrong with its answer before the answer counts as nonsense."""
INSTRUMENTATION_VERSION: Final = 5
RETRIED_STATUSES = frozenset({408, 409, 425, 429})
SHOWN = 300
_SAID: Final[ContextVar[Said | None]] = ContextVar("said", default=None)
"""Who hears of the answer to the question that is asked in this context."""


class OpenAICompatibleModel:
    """One model at one endpoint, with its fallback; promises as in `infra.models.base.LanguageModel`. `owner` names its circuits apart
    from those of other workers in the process."""

    def __init__(self, endpoint: ModelEndpoint, telemetry: Telemetry, client: httpx2.AsyncClient, owner: str) -> None:
        self.name = endpoint.name
        self._telemetry = telemetry
        self._prices = f"genai-prices {version('genai-prices')}"
        self._limits = UsageLimits(
            request_limit=endpoint.request_limit,
            input_tokens_limit=endpoint.input_tokens_limit,
            output_tokens_limit=endpoint.output_tokens_limit,
        )
        self._patience = Patience(f"model.{owner}", endpoint.patience_seconds)
        # The client's own retries are off: ours are bounded, counted and told to the breaker.
        self._settings = ModelSettings(timeout=endpoint.timeout_seconds, max_retries=0)
        self._model: Model = _protected(endpoint, telemetry, client, f"model.{owner}")
        if endpoint.fallback is not None:
            fallback = _protected(endpoint.fallback, telemetry, client, f"model-fallback.{owner}")
            self._model = FallbackModel(self._model, fallback, fallback_on=(TransientError,))

    async def answer(self, question: Question[Any], said: Said | None = None) -> Answered:
        """See the port."""
        heard = _SAID.set(said)
        try:
            return await self._answered(question)
        finally:
            _SAID.reset(heard)

    async def _answered(self, question: Question[Any]) -> Answered:
        spent: ModelUsage | None = None

        async def once() -> Answered:
            nonlocal spent
            try:
                return await self._asked(question)
            except ModelError as error:
                spent = error.usage = added(spent, error.usage)
                raise

        answered = await self._patience.call(once)
        return answered._replace(usage=added(spent, answered.usage))

    async def _asked(self, question: Question[Any]) -> Answered:
        agent: Agent[object, Any] = Agent(
            self._model,
            name=question.operation,
            output_type=question.output_type,
            instructions=question.instructions,
            tools=list(question.tools),
            retries={"output": MENDS, "tools": MENDS},
            capabilities=self._instrumentation(),
        )
        used = RunUsage()
        try:
            run = await agent.run(question.text, usage=used, usage_limits=self._limits, model_settings=self._settings)
        except (AgentRunError, FallbackExceptionGroup, TransientError, ModelError) as error:
            raise translated(error, self._usage(used, self.name)) from error
        return Answered(run.output, self._usage(used, run.response.model_name or self.name))

    def _usage(self, used: RunUsage, model: str) -> ModelUsage:
        return ModelUsage(
            model=model[:200],
            calls=used.requests,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            cost=used.cost or Decimal(0),
            prices=None if used.cost is None else self._prices,
        )

    def _instrumentation(self) -> list[Instrumentation]:
        """Spans of the GenAI conventions, without content, below the task's span; none where that is not recorded."""
        provider = self._telemetry.tracing.provider
        if provider is None or not trace.get_current_span().is_recording():
            return []
        settings = InstrumentationSettings(tracer_provider=provider, include_content=False, version=INSTRUMENTATION_VERSION)
        return [Instrumentation(settings)]

    async def close(self) -> None:
        """The client belongs to the worker, which closes it."""


def _protected(endpoint: ModelEndpoint, telemetry: Telemetry, client: httpx2.AsyncClient, name: str) -> ProtectedModel:
    provider = OpenAIProvider(base_url=endpoint.url, api_key=endpoint.key.get_secret_value() or "none", http_client=client)
    protection = Protection(
        name,
        telemetry.metrics,
        bulkhead=BulkheadPolicy(concurrent=endpoint.concurrency),
        # What the endpoint refuses says nothing of its health.
        breaker=BreakerPolicy(counted=(TransientError,)),
        retry=RetryPolicy(retryable=(TransientError,), longest_asked_seconds=endpoint.longest_asked_seconds),
        seconds=endpoint.timeout_seconds,
    )
    return ProtectedModel(OpenAIChatModel(endpoint.name, provider=provider), protection)


class ProtectedModel(WrapperModel):
    """A model whose every request goes through a Protection, and fails with the errors of our port."""

    def __init__(self, wrapped: Model, protection: Protection) -> None:
        super().__init__(wrapped)
        self._protection = protection

    async def request(
        self, messages: list[ModelMessage], model_settings: ModelSettings | None, model_request_parameters: ModelRequestParameters
    ) -> ModelResponse:
        """One request."""

        async def request_model() -> ModelResponse:
            try:
                said = _SAID.get()
                if said is None:
                    return await self.wrapped.request(messages, model_settings, model_request_parameters)
                return await self._streamed(messages, model_settings, model_request_parameters, said)
            except ContentFilterError:
                raise
            except UnexpectedModelBehavior as error:  # cut off on its way, or of a server that is no such endpoint
                raise ModelUnavailable("The model's endpoint answered what is no chat completion.") from error
            except AgentRunError as error:
                raise translated(error) from error

        return await self._protection.call(request_model)

    async def _streamed(
        self, messages: list[ModelMessage], settings: ModelSettings | None, parameters: ModelRequestParameters, said: Said
    ) -> ModelResponse:
        """The same request, with the answer read as it is written. Raises ModelUnavailable for one that breaks off."""
        said(None)
        try:
            async with self.wrapped.request_stream(messages, settings, parameters) as stream:
                async for event in stream:
                    if text := _text_of(event):
                        said(text)
                response = stream.get()
        except (openai.APIError, httpx2.HTTPError) as error:
            raise ModelUnavailable(f"The model's answer broke off: {_shown(error)}") from error
        # pydantic-ai takes the end of a stream for that of the answer; only the endpoint's own reason says that it is.
        if not (response.provider_details or {}).get("finish_reason"):
            raise ModelUnavailable("The model's answer broke off.")
        return response


def _text_of(event: ModelResponseStreamEvent) -> str:
    """What an event adds to the answer: text, or the arguments of the call that the answer is."""
    match event:
        case PartStartEvent(part=TextPart(content=text)) | PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartStartEvent(part=ToolCallPart(args=str(text))) | PartDeltaEvent(delta=ToolCallPartDelta(args_delta=str(text))):
            return text
        case _:
            return ""


def translated(error: Exception, usage: ModelUsage | None = None) -> ModelError:
    """The port's error for one of pydantic-ai's, or of ours on its way through it. Its text names no content of the request."""
    if isinstance(error, ModelError):
        error.usage = usage
        return error
    if isinstance(error, FallbackExceptionGroup):
        return translated(_first(error), usage)
    for kind, translate in _TRANSLATIONS:
        if isinstance(error, kind):
            return translate(error, usage)
    return ModelUnavailable(f"The model could not be asked: {_shown(error)}", usage, getattr(error, "retry_after", None))


def _first(group: FallbackExceptionGroup) -> Exception:
    """Of the failures of first model and fallback, what the first one said."""
    errors = [error for error in group.exceptions if isinstance(error, Exception)]
    return next((error for error in errors if isinstance(error, ModelError)), errors[0])


def _http_error(error: Any, usage: ModelUsage | None) -> ModelError:
    status = error.status_code
    if status in RETRIED_STATUSES or status >= 500:
        return ModelUnavailable(f"The model's endpoint answered {status}.", usage, error.retry_after)
    return ModelRefused(f"The model's endpoint answered {status}: {_shown(error)}", usage)


_TRANSLATIONS: tuple[tuple[type[Exception], Callable[[Any, ModelUsage | None], ModelError]], ...] = (
    (ModelQuotaExceededError, lambda error, usage: ModelRefused(f"The account's quota is spent: {_shown(error)}", usage)),
    (ModelHTTPError, _http_error),
    (ModelAPIError, lambda error, usage: ModelUnavailable(f"The model could not be reached: {_shown(error)}", usage, error.retry_after)),
    (UsageLimitExceeded, lambda error, usage: ModelLimitExceeded(f"The limits of the settings do not suffice: {_shown(error)}", usage)),
    (ContentFilterError, lambda error, usage: ModelRefused("The endpoint's content filter refused the request.", usage)),
    (
        UnexpectedModelBehavior,
        lambda error, usage: ModelNonsense(f"The model answered what cannot be used: {error.message[:SHOWN]}", usage),
    ),
)


def _shown(error: Exception) -> str:
    text = ""
    with suppress(Exception):
        text = " ".join(str(error).split())
    return (text or type(error).__name__)[:SHOWN]
