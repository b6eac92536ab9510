"""The target APIs: which path takes which method and content type, and what it says to a body.

planning   POST text/csv · POST text/xml · PUT application/json   /trips/insertOrUpdate
otm5       POST application/json, one event a request             /otm5/realisation
devices    POST application/json, one device a request            /devices
tracking   POST application/xml or text/xml                       /api/v1/realisation
ingest     POST or PUT, anything                                  /ingest/NAME
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from agent.sandbox import realisation
from agent.sandbox.body import BadBody, count_records

_JSON = frozenset({"application/json"})
_XML = frozenset({"application/xml", "text/xml"})
_LIFECYCLES = ("planned", "projected", "actual", "realized", "requested")
Device: TypeAlias = dict[str, object]


class Refused(Exception):
    """The data is not in the right format: 400, and the text says what is wrong."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a target says when it takes a body."""

    status: int
    records: int | None
    """None when nobody has counted yet."""
    document: object = None
    """Answered as JSON; None for no body."""
    device: Device | None = field(default=None, repr=False)
    """To be kept, replacing the one with the same ids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """One target API."""

    name: str
    path: str
    accepts: Mapping[str, frozenset[str] | None]
    """Method → content types; None for any."""
    check: Callable[[bytes, str], Answer]
    """Body and content type → answer; raises Refused. Pure, so that it may run in another thread."""


def take_planning(plain: bytes, content_type: str) -> Answer:
    """Any file: the platform does not look into it before it has answered."""
    if not plain:
        raise Refused("the body is empty")
    return Answer(status=200, records=count_records(plain, content_type), document={"accepted": True})


def take_otm5(plain: bytes, content_type: str) -> Answer:
    """One OpenTripModel 5 `locationUpdateEvent`."""
    del content_type
    event = _one_object(plain)
    if event.get("eventType") != "locationUpdateEvent":
        raise Refused("eventType must be 'locationUpdateEvent'")
    _date_time(event.get("creationDate"), "creationDate")
    if event.get("lifecycle") not in _LIFECYCLES:
        raise Refused("lifecycle must be one of " + ", ".join(_LIFECYCLES))
    place = event.get("geoReference")
    if not isinstance(place, dict):
        raise Refused("geoReference must be an object")
    if place.get("type") != "latLonPointGeoReference":
        raise Refused("geoReference.type must be 'latLonPointGeoReference'")
    _number(place.get("lat"), "geoReference.lat", 90)
    _number(place.get("lon"), "geoReference.lon", 180)
    return Answer(status=200, records=1, document={"accepted": True})


def take_device(plain: bytes, content_type: str) -> Answer:
    """One device, replacing the one with the same (externalSystemId, externalDeviceId)."""
    del content_type
    device = _one_object(plain)
    for name in ("externalSystemId", "externalDeviceId"):
        value = device.get(name)
        if not isinstance(value, str) or not value:
            raise Refused(f"{name} must be a text that is not empty")
    if not isinstance(device.get("active", True), bool):
        raise Refused("active must be true or false")
    return Answer(status=200, records=1, document={"accepted": True}, device=device)


def take_tracking(plain: bytes, content_type: str) -> Answer:
    """What `realisation.xsd` describes: the root in the platform's namespace, unqualified children."""
    del content_type
    try:
        return Answer(status=204, records=realisation.check(plain))
    except realisation.Invalid as error:
        raise Refused(str(error)) from None


def take_anything(plain: bytes, content_type: str) -> Answer:
    """For data engineers and benchmarks: anything goes and is counted later."""
    del plain, content_type
    return Answer(status=200, records=None, document={"accepted": True})


TARGETS = (
    Endpoint(
        name="planning",
        path="/trips/insertOrUpdate",
        accepts={"POST": frozenset({"text/csv", "text/xml"}), "PUT": _JSON},
        check=take_planning,
    ),
    Endpoint(name="otm5", path="/otm5/realisation", accepts={"POST": _JSON}, check=take_otm5),
    Endpoint(name="devices", path="/devices", accepts={"POST": _JSON}, check=take_device),
    Endpoint(name="tracking", path="/api/v1/realisation", accepts={"POST": _XML}, check=take_tracking),
    Endpoint(name="ingest", path="/ingest/{name}", accepts={"POST": None, "PUT": None}, check=take_anything),
)


def read_json(plain: bytes) -> object:
    """JSON as RFC 8259 has it: UTF-8, no NaN, no key twice. BadBody says what is wrong."""
    try:
        document: object = json.loads(
            plain.decode(), parse_constant=_no_constant, object_pairs_hook=_no_twins
        )
    except (ValueError, RecursionError) as error:
        raise BadBody(f"not valid JSON: {error}") from None
    return document


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is no JSON")


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _one_object(plain: bytes) -> dict[str, object]:
    document = read_json(plain)
    if not isinstance(document, dict):
        kind = "an array" if isinstance(document, list) else "something else"
        raise Refused(f"the body must be one JSON object, not {kind}")
    return document


def _date_time(value: object, name: str) -> None:
    """RFC 3339, 5.6: with date, time and zone."""
    text = value if isinstance(value, str) else ""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if (
        moment is None
        or moment.tzinfo is None
        or text[10:11] not in ("T", "t", " ")
        or len(text) < len("2026-01-01T00:00:00Z")
    ):
        raise Refused(f"{name} must be a date-time with zone as in RFC 3339, such as 2026-10-27T09:00:31Z")


def _number(value: object, name: str, limit: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > limit:
        raise Refused(f"{name} must be a number from -{limit} to {limit}")
