"""jobs/*.yaml → the parts of a Job. What needs other files (its connection) is checked in `relate`."""

from __future__ import annotations

from dataclasses import dataclass

from agent.config.build_body import build_body
from agent.config.build_delivery import build_delivery, build_receipt_keys
from agent.config.build_schedule import build_schedules
from agent.config.build_source import build_source
from agent.config.build_target import build_target
from agent.config.build_tests import build_tests
from agent.config.model import (
    Batch,
    Body,
    Delivery,
    Expr,
    FileSource,
    Job,
    JobTest,
    JsonBody,
    NdjsonBody,
    RawBody,
    Schedule,
    Source,
    Target,
    Where,
    files_of,
)
from agent.config.view import View
from agent.limit import Limit


@dataclass(frozen=True, kw_only=True, slots=True)
class JobParts:
    """What could be built of a job; None where the file is wrong."""

    name: str | None
    schedules: tuple[Schedule, ...]
    source: Source | None
    body: Body | None
    batch: Batch
    target: Target | None
    delivery: Delivery
    receipt_keys: tuple[Expr, ...]
    spool: Limit
    tests: tuple[JobTest, ...]
    where: Where

    def whole(self, *, file: str, sha256: str) -> Job | None:
        """The job, when nothing is missing."""
        if (
            self.name is None
            or not self.schedules
            or self.target is None
            or self.source is None
            or self.body is None
        ):
            return None
        return Job(
            name=self.name,
            schedules=self.schedules,
            source=self.source,
            body=self.body,
            batch=self.batch,
            target=self.target,
            delivery=self.delivery,
            receipt_keys=self.receipt_keys,
            spool=self.spool,
            tests=self.tests,
            file=file,
            sha256=sha256,
            where=self.where,
        )


def build_job(view: View) -> JobParts:
    """All parts of a job; what is wrong with them goes to `view.found`."""
    source, body, target = view.view("source"), view.view("body"), view.view("target")
    batch, delivery = view.section("batch"), view.section("delivery")
    whole_files = view.section("source").text("type") == "file"
    parts = JobParts(
        name=view.text("job"),
        schedules=build_schedules(view),
        source=build_source(source) if source else None,
        body=build_body(body) if body else None,
        batch=Batch(
            records=batch.number("records", Batch().records),
            bytes=batch.size("bytes", Batch().bytes),
        ),
        target=build_target(target) if target else None,
        delivery=build_delivery(delivery, whole_files=whole_files),
        receipt_keys=build_receipt_keys(view.section("receipt"), whole_files=whole_files),
        spool=_limit(view.section("spool")),
        tests=build_tests(view, view.folder / "jobs"),
        where=view.at("job"),
    )
    _check_body(view, parts)
    _check_batch(view, parts)
    _check_latest(view, parts)
    _check_templates(view, parts)
    _check_reply(view, parts)
    _check_watch(view, parts)
    return parts


def _limit(spool: View) -> Limit:
    """Zero is refused by the schema: here it stands for a key that is not there."""
    return Limit(
        max_bytes=spool.size("max_bytes", 0) or None, max_messages=spool.number("max_messages", 0) or None
    )


def _check_body(view: View, parts: JobParts) -> None:
    if parts.source is None or parts.body is None:
        return
    where = view.section("body").at("format")
    if isinstance(parts.source, FileSource) and not isinstance(parts.body, RawBody):
        hint = "use `format: raw`, or a source of records such as `type: csv`"
        view.found.error(where, "a source of type file is sent as it is, it holds no records", hint)
    if isinstance(parts.body, RawBody) and not isinstance(parts.source, FileSource):
        hint = "use `format: json`, or `source.type: file` to send whole files"
        view.found.error(where, "raw sends whole files, and this source gives records", hint)


def _check_batch(view: View, parts: JobParts) -> None:
    if "batch" not in view:
        return
    if isinstance(parts.body, RawBody):
        view.found.error(view.at("batch"), "a whole file is one request", "delete `batch`")
    elif parts.body is not None and parts.body.per == "record":
        view.found.error(
            view.at("batch"), "one request per record leaves nothing to batch", "write `per: batch`"
        )


def _check_latest(view: View, parts: JobParts) -> None:
    """A batch has many records, and is none of them."""
    if parts.delivery.latest_by is None or parts.body is None or isinstance(parts.body, RawBody):
        return
    if parts.body.per == "batch":
        where = view.section("delivery").at("latest_by")
        hint = "write `per: record` in `body`, or delete `latest_by`"
        view.found.error(where, "latest_by needs one request per record", hint)


def _check_reply(view: View, parts: JobParts) -> None:
    """An answer that speaks of each record needs records, and their keys to be readable."""
    reply = parts.target.reply if parts.target is not None else None
    if reply is None or parts.body is None:
        return
    if isinstance(parts.body, RawBody):
        hint = "delete `reply`, or use a source of records"
        view.found.error(reply.where, "a whole file has no records that an answer could speak of", hint)
    elif reply.match == "key" and not isinstance(parts.body, JsonBody | NdjsonBody):
        hint = "write `match: position` or `match: index`"
        view.found.error(reply.where, "the keys of records are looked up in JSON only", hint)


def _check_watch(view: View, parts: JobParts) -> None:
    """File events need files."""
    if parts.source is None or files_of(parts.source) is not None:
        return
    for schedule in parts.schedules:
        if schedule.watch:
            view.found.error(
                schedule.where, "watch is for files, and this source reads none", "write `every: 5m`"
            )


def _check_templates(view: View, parts: JobParts) -> None:
    """`{expression}` needs one record per request."""
    if parts.target is None or parts.body is None:
        return
    if not isinstance(parts.body, RawBody) and parts.body.per == "record":
        return
    templates = [parts.target.path, *(template for _, template in parts.target.headers)]
    for template in templates:
        if template is not None and template.fixed is None:
            hint = "write `per: record` in `body`, or {{ and }} for the braces themselves"
            view.found.error(template.where, "{expression} needs one request per record", hint)
