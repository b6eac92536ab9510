"""The figures in Prometheus' text format. Base units, unit suffixes, `push_agent_` in front.

A scrape shows one moment: nothing is counted here, every sample comes out of the `Figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import TypeAlias

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agent.origins import OriginStatus
from agent.status import ConnectionStatus, Figures, JobStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

JobGauge: TypeAlias = "tuple[str, str, Callable[[JobStatus], float | None]]"
OriginGauge: TypeAlias = "tuple[str, str, Callable[[OriginStatus], float | None]]"
ConnectionGauge: TypeAlias = "tuple[str, str, Callable[[ConnectionStatus], float | None]]"


def _paused(job: JobStatus, part: str) -> bool:
    return any(one.part == part for one in job.paused)


# name, help, value; None: no sample.
_JOB_COUNTERS: tuple[JobGauge, ...] = (
    ("delivered_records", "Records that the target accepted.", lambda job: job.delivered_records),
    ("delivered_messages", "Requests that the target accepted.", lambda job: job.delivered_messages),
    ("expired_messages", "Requests that were too old to be sent.", lambda job: job.expired),
    ("superseded_messages", "Requests whose place a newer one took.", lambda job: job.superseded),
)
_JOB_GAUGES: tuple[JobGauge, ...] = (
    ("waiting_messages", "Requests in the spool.", lambda job: job.waiting_messages),
    ("waiting_records", "Records in the spool.", lambda job: job.waiting_records),
    ("waiting_bytes", "Bytes in the spool, as they lie there.", lambda job: job.waiting_bytes),
    (
        "oldest_waiting_seconds",
        "Age of the oldest request in the spool; 0 when it is empty.",
        lambda job: job.oldest_waiting_seconds or 0.0,
    ),
    ("waiting_lanes", "Lanes that wait for more than their turn.", lambda job: len(job.lanes)),
    (
        "body_limit_bytes",
        "No larger bodies are made, since the target refused them.",
        lambda job: job.body_limit_bytes,
    ),
    ("dead_letters", "Requests refused for good and kept.", lambda job: job.dead),
    (
        "oldest_dead_letter_seconds",
        "Since the oldest of them was refused; 0 when there is none.",
        lambda job: job.oldest_dead_seconds or 0.0,
    ),
    ("unmoved_files", "Files dealt with that cannot be moved now.", lambda job: job.unmoved_files),
    (
        "spool_limit_bytes",
        "Bytes of it at which collecting waits.",
        lambda job: job.spool_limit.max_bytes if job.spool_limit else None,
    ),
    (
        "spool_limit_messages",
        "Requests of it at which collecting waits.",
        lambda job: job.spool_limit.max_messages if job.spool_limit else None,
    ),
    (
        "spool_limit_used_ratio",
        "How much of its limit is taken; 1 and above: it is full.",
        lambda job: job.spool_limit.used_ratio if job.spool_limit else None,
    ),
    ("collecting_paused", "1 when a person has paused its runs.", lambda job: _paused(job, "collecting")),
    ("delivering_paused", "1 when a person has paused its delivery.", lambda job: _paused(job, "delivering")),
    ("quarantined", "1 when its runs are not started any more.", lambda job: bool(job.quarantined)),
    ("next_due_timestamp_seconds", "When it runs next.", lambda job: job.next_due_at),
    (
        "last_run_timestamp_seconds",
        "When its last run was due.",
        lambda job: job.last_run.due_at if job.last_run else None,
    ),
    (
        "last_delivered_timestamp_seconds",
        "When the target last accepted a request.",
        lambda job: job.last_delivered_at,
    ),
)
_CONNECTION_COUNTERS: tuple[ConnectionGauge, ...] = (
    ("session_refreshes", "Token refreshes that succeeded.", lambda one: one.refreshes),
    ("session_logins", "Logins that succeeded.", lambda one: one.logins),
)
_CONNECTION_GAUGES: tuple[ConnectionGauge, ...] = (
    ("session_generation", "Number of the current token pair.", lambda one: one.generation),
    ("session_failures", "Failed logins in a row.", lambda one: one.failures),
    ("requests_in_flight", "Requests without an answer yet.", lambda one: one.in_flight),
    (
        "connection_paused_until_timestamp_seconds",
        "Until when the target asked for silence.",
        lambda one: one.paused_until_at,
    ),
    ("connection_paused", "1 when a person has paused what goes over it.", lambda one: bool(one.paused)),
    (
        "connection_concurrency_max",
        "Requests that the config allows at once (limits.concurrency).",
        lambda one: one.pacing.concurrency or None,
    ),
    (
        "connection_waiting_requests",
        "Requests that wait for their turn, a pause or a circuit.",
        lambda one: one.pacing.waiting,
    ),
    (
        "connection_tls_verified",
        "0 when the target's certificate is not checked.",
        lambda one: one.tls_verified,
    ),
    (
        "connection_tls_files_unusable",
        "1 when changed TLS files cannot be used and those of before go on.",
        lambda one: bool(one.tls_trouble),
    ),
    (
        "connection_certificate_end_timestamp_seconds",
        "When the certificate that is shown to the target ends.",
        lambda one: one.certificate_ends_at,
    ),
)

# One sample for each origin (scheme, host, port) behind a connection.
_ORIGIN_GAUGES: tuple[OriginGauge, ...] = (
    (
        "origin_concurrency",
        "Requests that may be in flight now; 0: circuit open.",
        lambda one: one.concurrency,
    ),
    ("origin_requests_in_flight", "Requests without an answer yet.", lambda one: one.in_flight),
    ("origin_waiting_requests", "Requests that wait for this host.", lambda one: one.waiting),
    ("origin_circuit_open", "1 while one request at a time tries.", lambda one: one.circuit != "closed"),
    ("origin_next_probe_timestamp_seconds", "When the next one tries.", lambda one: one.next_probe_at),
)


class FiguresCollector(Collector):
    """Turns one `Figures` into metric families."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """All families of one scrape."""
        yield from self._jobs()
        yield from self._connections()
        yield from self._origins()
        yield from self._attempts()
        yield from self._runs()
        yield from self._process()

    def _jobs(self) -> Iterator[Metric]:
        jobs = self._figures.snapshot.jobs
        for name, text, value in _JOB_COUNTERS:
            counter = CounterMetricFamily(f"push_agent_{name}", text, labels=["job"])
            for job in jobs:
                counter.add_metric([job.name], value(job) or 0)
            yield counter
        for name, text, value in _JOB_GAUGES:
            gauge = GaugeMetricFamily(f"push_agent_{name}", text, labels=["job"])
            for job in jobs:
                if (number := value(job)) is not None:
                    gauge.add_metric([job.name], number)
            yield gauge

    def _connections(self) -> Iterator[Metric]:
        snapshot = self._figures.snapshot
        for name, text, value in _CONNECTION_COUNTERS:
            counter = CounterMetricFamily(f"push_agent_{name}", text, labels=["connection"])
            for one in snapshot.connections:
                counter.add_metric([one.name], value(one) or 0)
            yield counter
        for name, text, value in _CONNECTION_GAUGES:
            gauge = GaugeMetricFamily(f"push_agent_{name}", text, labels=["connection"])
            for one in snapshot.connections:
                if (number := value(one)) is not None:
                    gauge.add_metric([one.name], number)
            yield gauge
        left = GaugeMetricFamily(
            "push_agent_token_expires_seconds",
            "Seconds that the access token is still valid; below 0: it has expired.",
            labels=["connection"],
        )
        for one in snapshot.connections:
            if one.expires_at is not None:
                left.add_metric([one.name], one.expires_at - snapshot.taken_at)
        yield left

    def _origins(self) -> Iterator[Metric]:
        connections = self._figures.snapshot.connections
        origins = [(one.name, each) for one in connections for each in one.pacing.origins]
        for name, text, value in _ORIGIN_GAUGES:
            gauge = GaugeMetricFamily(f"push_agent_{name}", text, labels=["connection", "origin"])
            for connection, one in origins:
                if (number := value(one)) is not None:
                    gauge.add_metric([connection, one.origin], number)
            yield gauge
        opened = CounterMetricFamily(
            "push_agent_origin_circuit_openings", "Times its circuit opened.", labels=["connection", "origin"]
        )
        for connection, one in origins:
            opened.add_metric([connection, one.origin], one.openings)
        yield opened

    def _attempts(self) -> Iterator[Metric]:
        counter = CounterMetricFamily(
            "push_agent_attempts", "Requests sent, by what they came to.", labels=["job", "outcome"]
        )
        for (job, outcome), number in self._figures.attempts.items():
            counter.add_metric([job, outcome], number)
        yield counter
        splits = CounterMetricFamily(
            "push_agent_split_messages", "Requests that were refused and taken apart.", labels=["job"]
        )
        for job, number in self._figures.splits.items():
            splits.add_metric([job], number)
        yield splits
        family = HistogramMetricFamily(
            "push_agent_request_seconds", "From sending a request to its answer.", labels=["job"]
        )
        for job, seen in self._figures.request_seconds.items():
            bounds = [*(str(bound) for bound in seen.bounds), "+Inf"]
            family.add_metric([job], list(zip(bounds, accumulate(seen.counts), strict=True)), seen.sum)
        yield family

    def _runs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("push_agent_runs", "Runs by how they ended.", labels=["job", "state"])
        for (job, state), number in self._figures.runs.items():
            runs.add_metric([job, state], number)
        yield runs
        skipped = CounterMetricFamily(
            "push_agent_skipped", "Scheduled times that did not run.", labels=["job"]
        )
        for job, number in self._figures.skipped.items():
            skipped.add_metric([job], number)
        yield skipped

    def _process(self) -> Iterator[Metric]:
        snapshot = self._figures.snapshot
        spool = snapshot.spool
        yield InfoMetricFamily("push_agent_build", "What runs here.", value={"version": snapshot.version})
        for name, text, number in (
            ("spool_bytes", "Size of the spool.", spool.bytes),
            ("spool_max_bytes", "Size at which collecting stops.", spool.max_bytes),
            ("spool_messages", "Requests in the spool, of all jobs.", spool.messages),
            (
                "spool_max_messages",
                "Requests at which collecting waits; 0: no such limit.",
                spool.max_messages or 0,
            ),
            ("spool_used_ratio", "How full the spool is; 1 and above: collecting waits.", spool.used_ratio),
            ("spool_recovered", "1 when the database was damaged and salvaged.", spool.recovered),
            ("config_rejected_files", "Config files that are not used.", len(snapshot.config.rejected)),
            ("event_loop_stall_seconds_max", "Longest stall since the start.", self._figures.longest_stall),
            ("start_time_seconds", "When the daemon started.", snapshot.started_at or 0),
        ):
            yield GaugeMetricFamily(f"push_agent_{name}", text, value=number)


def render(figures: Figures) -> bytes:
    """The metrics page: our figures and the process's own (memory, CPU, open files)."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(FiguresCollector(figures))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
