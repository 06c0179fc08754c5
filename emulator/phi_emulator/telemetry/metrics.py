"""Metrics of a running emulator, counted when an exchange ends, and written by Prometheus' own client when asked for.

It must not know HTTP or engines. Labels have no values but the emulator's own, so that callers can't add any. The
library is loaded by the first who asks: an emulator that nobody watches does without.

`gen_ai_server_…` are OpenTelemetry's names and buckets for servers of models, as Prometheus writes them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from phi_emulator.telemetry.told import Told

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Gauges", "Metrics", "Page"]

_SECONDS: Final = tuple(0.01 * 2**power for power in range(14))
_FIRST_TOKEN: Final = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
# Below the conventions' buckets there are two for the bundled model.
_NEXT_TOKEN: Final = (
    0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5,
)  # fmt: skip
_MOST_SERIES: Final = 10_000
"""Of one metric: more than the labels' values can make. A bound for what nobody foresaw."""

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gauges:
    """How the engine is at the moment, and what it has counted itself."""

    model: str
    execution_provider: str
    running: int
    waiting: int
    steps: int
    reloads: int
    is_up: bool
    drafted_tokens: int = 0
    accepted_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """What is answered to Prometheus."""

    body: bytes
    content_type: str


@dataclass(slots=True)
class _Histogram:
    """Observations by label values."""

    bounds: Sequence[float]
    counts: dict[Labels, list[int]] = field(default_factory=dict[Labels, "list[int]"])
    sums: dict[Labels, float] = field(default_factory=dict[Labels, float])

    def observe(self, labels: Labels, value: float) -> None:
        if labels not in self.counts:
            if len(self.counts) >= _MOST_SERIES:
                return
            self.counts[labels] = [0] * (len(self.bounds) + 1)
            self.sums[labels] = 0.0
        self.counts[labels][bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value

    def buckets(self, labels: Labels) -> list[tuple[str, float]]:
        """Bounds and how many observations are not above them."""
        total = 0
        found: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts[labels], strict=True):
            total += count
            found.append((bound, total))
        return found

    def copy(self) -> _Histogram:
        return _Histogram(
            self.bounds, {labels: [*counts] for labels, counts in self.counts.items()}, {**self.sums}
        )


@dataclass(slots=True)
class _Counts:
    """All that is counted of exchanges."""

    requests: dict[Labels, int] = field(default_factory=dict[Labels, int])
    tokens: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    duration: _Histogram = field(default_factory=lambda: _Histogram(_SECONDS))
    first_token: _Histogram = field(default_factory=lambda: _Histogram(_FIRST_TOKEN))
    next_token: _Histogram = field(default_factory=lambda: _Histogram(_NEXT_TOKEN))
    queue: _Histogram = field(default_factory=lambda: _Histogram(_SECONDS))

    def copy(self) -> _Counts:
        return _Counts(
            {**self.requests},
            {**self.tokens},
            self.duration.copy(),
            self.first_token.copy(),
            self.next_token.copy(),
            self.queue.copy(),
        )


class Metrics:
    """Counts exchanges. `end` and `page` belong to one event loop; what `page` gives may be called in a thread."""

    def __init__(self) -> None:
        self._counts = _Counts()

    def end(self, told: Told) -> None:
        """Count an exchange."""
        counts = self._counts
        asked = (
            told.surface,
            told.method,
            told.route,
            "none" if told.status is None else str(told.status),
            told.fault,
        )
        if asked in counts.requests or len(counts.requests) < _MOST_SERIES:
            counts.requests[asked] = counts.requests.get(asked, 0) + 1
        if not told.is_chat:
            return
        for kind, tokens in (
            ("prompt", told.prompt_tokens),
            ("cached", told.cached_tokens),
            ("completion", told.completion_tokens),
        ):
            if tokens:
                counts.tokens[told.surface, kind] = counts.tokens.get((told.surface, kind), 0) + tokens
        labels = ("chat", told.provider, told.model, told.surface)
        counts.duration.observe((*labels, told.error_type), told.over - told.received)
        if told.queued is not None and told.admitted is not None:
            counts.queue.observe(labels, told.admitted - told.queued)
        if told.first_token is not None:
            counts.first_token.observe(labels, told.first_token - told.received)
            if told.ended is not None and told.completion_tokens > 1:
                counts.next_token.observe(
                    labels, (told.ended - told.first_token) / (told.completion_tokens - 1)
                )

    def page(self, gauges: Gauges, accept: str | None) -> Callable[[], Page]:
        """What makes the page of this moment, in the form that `accept` asks for. It takes some milliseconds."""
        counts = self._counts.copy()

        def write() -> Page:
            from prometheus_client import CollectorRegistry  # noqa: PLC0415 - see above
            from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

            registry = CollectorRegistry(auto_describe=False)
            registry.register(_Collector(counts, gauges))
            encode, content_type = choose_encoder(accept or "")
            return Page(encode(registry), content_type)

        return write


class _Collector:
    """The families of metrics of one moment."""

    def __init__(self, counts: _Counts, gauges: Gauges) -> None:
        self._counts = counts
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """All of them, as Prometheus' client takes them."""
        from prometheus_client.core import CounterMetricFamily, InfoMetricFamily  # noqa: PLC0415

        counts, gauges = self._counts, self._gauges
        requests = CounterMetricFamily(
            "phi_emulator_requests",
            "Requests that have ended, by what the client was told and the fault that they met.",
            labels=("surface", "method", "route", "status", "fault"),
        )
        for labels, count in counts.requests.items():
            requests.add_metric(labels, count)
        yield requests
        for kind, text in (
            ("prompt", "Tokens of prompts, cached ones included."),
            ("cached", "Tokens of prompts that were not computed again."),
            ("completion", "Tokens of answers, reasoning included."),
        ):
            name = "cached_prompt" if kind == "cached" else kind
            tokens = CounterMetricFamily(f"phi_emulator_{name}_tokens", text, labels=("surface",))
            for (surface, found), count in counts.tokens.items():
                if found == kind:
                    tokens.add_metric((surface,), count)
            yield tokens
        yield from self._histograms()
        yield from _gauges(gauges)
        info = InfoMetricFamily("phi_emulator", "What answers.")
        info.add_metric(
            (),
            {
                "model": gauges.model,
                "execution_provider": gauges.execution_provider,
            },
        )
        yield info

    def _histograms(self) -> Iterator[Metric]:
        from prometheus_client.core import HistogramMetricFamily  # noqa: PLC0415

        counts = self._counts
        names = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_response_model", "surface")
        for name, text, histogram, more in (
            (
                "gen_ai_server_request_duration_seconds",
                "From a request's head to the end of its answer.",
                counts.duration,
                ("error_type",),
            ),
            (
                "gen_ai_server_time_to_first_token_seconds",
                "From a request's head to the first token of the model.",
                counts.first_token,
                (),
            ),
            (
                "gen_ai_server_time_per_output_token_seconds",
                "Time for each token after the first one, the mean of an answer.",
                counts.next_token,
                (),
            ),
            (
                "phi_emulator_request_queue_seconds",
                "Wait for a place beside those that run.",
                counts.queue,
                (),
            ),
        ):
            family = HistogramMetricFamily(name, text, labels=(*names, *more))
            for labels in histogram.counts:
                family.add_metric(labels, histogram.buckets(labels), histogram.sums[labels])
            yield family


def _gauges(gauges: Gauges) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415

    for name, text, value in (
        ("phi_emulator_requests_running", "Requests that share the model's steps now.", gauges.running),
        ("phi_emulator_requests_waiting", "Requests in the queue now.", gauges.waiting),
        ("phi_emulator_engine_up", "1 while the engine answers.", gauges.is_up),
    ):
        yield GaugeMetricFamily(name, text, value=int(value))
    for name, text, value in (
        ("phi_emulator_engine_steps", "Steps that the model has begun.", gauges.steps),
        ("phi_emulator_engine_reloads", "How often the engine broke and was loaded again.", gauges.reloads),
        ("phi_emulator_drafted_tokens", "Tokens that were proposed to the model.", gauges.drafted_tokens),
        ("phi_emulator_accepted_tokens", "Of these, those that it gave as well.", gauges.accepted_tokens),
    ):
        yield CounterMetricFamily(name, text, value=value)
