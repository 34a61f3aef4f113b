"""Traces with OpenTelemetry: a span for each request, and in it for checks, generators, marks and the ledger.

    POST /v1/chat/completions
    ├── checks prompt ── check secrets, check pii, …
    ├── append
    ├── chat MODEL
    ├── checks output ── check secrets, …
    ├── marks
    └── append

Attributes have the names of OpenTelemetry's semantic conventions where there are some (`http.*`, `gen_ai.*`, `db.*`), and
`genguard.*` otherwise: names, numbers and ids, and never a content, nor the message of an error. The provider is this
service's own: nothing is set for the process. `traceparent` is taken from callers and handed on to services that are asked;
`tracestate` and `baggage` are not, for they may say anything.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from starlette.datastructures import Headers

from guard.errors import SettingsError
from guard.types import CheckResult, Decision, Status
from guard.watching import APPEND, CHECKS, GENERATE, MARKS, Fact, Step

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter"})
"""Why an output ended; a service may say anything else, which is told as `other`."""
_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def trace_of(parent: str) -> str:
    """The trace id of a `traceparent`; empty where there is no good one."""
    found = _PARENT.fullmatch(parent)
    return found[1] if found else ""


class Tracing:
    """Makes spans and hands them to an exporter."""

    def __init__(self, exporter: SpanExporter, *, ratio: float = 1.0, at_once: bool = False, database: str = "sqlite") -> None:
        """`ratio`: share of the traces begun here that are kept; those begun by a caller are kept as the caller says.

        `at_once`: export each span when it ends, which waits for it. `database`: of the ledger, as `db.system.name`.
        Raises SettingsError without OpenTelemetry.
        """
        try:
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import SpanLimits, TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
            from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        except ImportError as error:
            raise _missing() from error
        self._database = database
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({"service.name": "genguard"}),
            span_limits=SpanLimits(),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("genguard")

    def close(self) -> None:
        """Export what waits, and end. Blocks for some seconds at most."""
        self._provider.force_flush(5000)
        self._provider.shutdown()

    @contextmanager
    def request(self, method: str, headers: Headers) -> Iterator[RequestSpan]:
        """The span of one request; it goes on with the caller's trace."""
        from opentelemetry.trace import SpanKind, use_span

        parent = self._parent(headers.get("traceparent", ""))
        span = self._tracer.start_span(method, context=parent, kind=SpanKind.SERVER, attributes={"http.request.method": method})
        with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield RequestSpan(span)

    def step(self, name: str, facts: Mapping[str, Fact]) -> Step:
        """A span that is entered and left."""
        return _SpanStep(self, *self._described(name, facts))

    def checked(self, policy: str, results: Sequence[CheckResult], since: int) -> None:
        """A span for each check that was asked, from when it was asked to its answer; one for a batch of contents."""
        slowest: dict[str, CheckResult] = {}
        for result in results:
            known = slowest.get(result.check)
            if result.status is not Status.SKIPPED and (known is None or known.latency_us < result.latency_us):
                slowest[result.check] = result
        for name, result in slowest.items():
            mine = [one for one in results if one.check == name]
            bad = next((one for one in mine if one.status in {Status.FAILED, Status.TIMEOUT}), None)
            facts = {
                "genguard.policy": policy,
                "genguard.check": name,
                "genguard.check.use": result.use,
                "genguard.check.status": (bad or result).status.value,
                "genguard.contents": len(mine),
                "genguard.findings": sum(len(one.findings) for one in mine),
            }
            self._past(f"check {name}", facts, since, since + result.latency_us * 1000, failed=bad is not None)

    def streamed(self, decision: Decision, since: int) -> None:
        """A span for an output that left while it was made, from its first piece to its record."""
        stream = decision.stream
        assert stream is not None
        facts = {
            "genguard.policy": decision.verdict.policy,
            "genguard.decision": str(decision.id),
            "genguard.action": decision.verdict.action.value,
            "genguard.stream.mode": stream.mode.value,
            "genguard.stream.ending": stream.ending.value,
            "genguard.stream.steps": stream.steps,
        }
        self._past("stream", facts, since, time.time_ns(), failed=False)

    def headers(self) -> Mapping[str, str]:
        """`traceparent` of the span that is open."""
        from opentelemetry.trace import get_current_span

        context = get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"}

    def open(self, name: str, kind: Any, facts: Mapping[str, Fact]) -> Span:
        """Begin a span under the one that is open."""
        return self._tracer.start_span(name, kind=kind, attributes=facts)

    def _past(self, name: str, facts: Mapping[str, Fact], since: int, until: int, *, failed: bool) -> None:
        from opentelemetry.trace import StatusCode

        span = self._tracer.start_span(name, attributes=facts, start_time=since)
        if failed:
            span.set_status(StatusCode.ERROR)
        span.end(until)

    @staticmethod
    def _parent(given: str) -> Any:
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier = {"traceparent": given} if trace_of(given) else {}
        return TraceContextTextMapPropagator().extract(carrier, context=Context())

    def _described(self, name: str, facts: Mapping[str, Fact]) -> tuple[str, Any, dict[str, Fact]]:
        """Name, kind and attributes of a step's span."""
        from opentelemetry.trace import SpanKind

        told = {f"genguard.{key}": value for key, value in facts.items() if key != "generator"}
        match name:
            case _ if name == CHECKS:
                return f"checks {facts.get('stage', '')}", SpanKind.INTERNAL, told
            case _ if name == GENERATE:
                model = str(facts.get("generator", ""))
                about = {"gen_ai.operation.name": "generate_content", "gen_ai.request.model": model}
                return f"generate_content {model}", SpanKind.CLIENT, {**about, "gen_ai.provider.name": "genguard", **told}
            case _ if name == APPEND:
                about = {"db.system.name": self._database, "db.operation.name": "INSERT", "db.collection.name": "entry"}
                return APPEND, SpanKind.CLIENT, {**about, **told}
            case _:
                return MARKS if name == MARKS else name, SpanKind.INTERNAL, told


class RequestSpan:
    """The span of a request."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.trace = f"{span.get_span_context().trace_id:032x}"

    def answered(self, route: str, status: int, failed: str) -> None:
        """`failed`: the type of what was raised; empty for nothing."""
        from opentelemetry.trace import StatusCode

        method = getattr(self._span, "name", "")
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})
        if status >= 500:
            self._span.set_attribute("error.type", failed or str(status))
            self._span.set_status(StatusCode.ERROR)


class _SpanStep:
    """A span as a step of the guard."""

    __slots__ = ("_facts", "_kind", "_name", "_scope", "_span", "_tracing")

    def __init__(self, tracing: Tracing, name: str, kind: Any, facts: dict[str, Fact]) -> None:
        self._tracing, self._name, self._kind, self._facts = tracing, name, kind, facts
        self._span: Span | None = None
        self._scope: Any = None

    def __enter__(self) -> Self:
        from opentelemetry.trace import use_span

        self._span = self._tracing.open(self._name, self._kind, self._facts)
        self._scope = use_span(self._span, end_on_exit=True, record_exception=False, set_status_on_exception=False)
        self._scope.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        from opentelemetry.trace import StatusCode

        if self._span is not None and error is not None:
            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(StatusCode.ERROR)
        self._scope.__exit__(None, None, None)  # the error itself would be told with its message

    def tell(self, **facts: Fact) -> None:
        if self._span is not None:
            for name, value in facts.items():
                self._span.set_attribute(*_named(name, value))


def _named(name: str, value: Fact) -> tuple[str, Any]:
    match name:
        case "prompt_tokens":
            return "gen_ai.usage.input_tokens", value
        case "output_tokens":
            return "gen_ai.usage.output_tokens", value
        case "finish":
            return "gen_ai.response.finish_reasons", [str(value) if value in FINISHES else "other"]
        case _:
            return f"genguard.{name}", value


def exporter(endpoint: str, headers: Mapping[str, str]) -> SpanExporter:
    """Hands spans to a collector: OTLP over HTTP. `endpoint`: all of its address, such as http://collector:4318/v1/traces.

    Raises SettingsError without OpenTelemetry.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise _missing() from error
    return OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=5)


def _missing() -> SettingsError:
    return SettingsError(
        "found GENGUARD_OTLP_ENDPOINT and no OpenTelemetry",
        advice="Install it: pip install 'genguard[otel]', or leave the endpoint out.",
    )
