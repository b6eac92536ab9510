from __future__ import annotations

import gzip
import json

import pytest

CSV = b"trip ID,STOP ID,location ID,start time stop,END time stop\n1,2,3,2026-01-25T10:45:00+01:00,\n"
EVENT = {
    "eventType": "locationUpdateEvent",
    "creationDate": "2026-10-27T09:00:31Z",
    "lifecycle": "actual",
    "vehicle": {"entity": {"vehicleType": "Truck", "licensePlate": "AA-BB-CC"}, "associationType": "inline"},
    "geoReference": {"type": "latLonPointGeoReference", "lat": 52, "lon": 7},
}
DEVICE = {"externalSystemId": "acme-fms", "externalDeviceId": "7", "active": True}
XMLNS = "http://api.transportcloud.io/schemas/carrier/v1/realisation"
TRIP = (
    "<tripRealisation><tripId>t</tripId><timestamp>2026-10-27T09:00:31Z</timestamp><heading>270</heading>"
    "<speed>80.5</speed><x>5.3</x><y>52.1</y></tripRealisation>"
)
XML = f'<tc:realisation xmlns:tc="{XMLNS}">{TRIP}{TRIP}</tc:realisation>'.encode()

GOOD = [
    ("planning", "POST", "/trips/insertOrUpdate", "text/csv", CSV, 200, 1),
    ("planning", "POST", "/trips/insertOrUpdate", "text/csv; charset=utf-8", CSV, 200, 1),
    ("planning", "POST", "/trips/insertOrUpdate", "text/xml", b"<trips/>", 200, 1),
    ("planning", "PUT", "/trips/insertOrUpdate", "application/json", b"[{}, {}]", 200, 2),
    ("otm5", "POST", "/otm5/realisation", "application/json", json.dumps(EVENT).encode(), 200, 1),
    ("devices", "POST", "/devices", "application/json", json.dumps(DEVICE).encode(), 200, 1),
    ("tracking", "POST", "/api/v1/realisation", "application/xml", XML, 204, 2),
    ("tracking", "POST", "/api/v1/realisation", "text/xml", XML, 204, 2),
    ("ingest/a", "POST", "/ingest/a", "application/json", b"[1, 2, 3]", 200, 3),
    ("ingest/a", "PUT", "/ingest/a", "application/json", b' {"a": [1, 2]}', 200, 1),
    ("ingest/a", "POST", "/ingest/a", "application/x-ndjson", b"{}\n{}\n", 200, 2),
    ("ingest/a", "POST", "/ingest/a", "text/csv", b"a,b\n1,2\n3,4", 200, 2),
    ("ingest", "POST", "/ingest", "application/octet-stream", b"\x00\xff", 200, 1),
    ("ingest", "POST", "/ingest", "application/json", b"[oops", 200, 1),
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("endpoint", "method", "path", "content_type", "body", "status", "records"), GOOD)
async def test_each_endpoint_takes_what_it_should(  # noqa: PLR0917 - a table of cases
    start, endpoint, method, path, content_type, body, status, records, zipped
):
    sandbox, client = await start()
    headers = {"Content_Encoding": "gzip"} if zipped else {}
    sent = gzip.compress(body) if zipped else body
    got, text, _ = await client.send(path, sent, content_type, method, **headers)
    assert got == status, text
    state = sandbox.state()
    assert state.records == {endpoint: records}
    assert state.answered(endpoint, status) == 1
    assert state.bytes == len(sent)
    assert sandbox.requests(endpoint)[0].body.plain == body


@pytest.mark.parametrize(
    ("method", "path", "content_type", "status"),
    [
        ("GET", "/trips/insertOrUpdate", "text/csv", 405),
        ("PUT", "/trips/insertOrUpdate", "text/csv", 415),
        ("POST", "/trips/insertOrUpdate", "application/json", 415),
        ("PUT", "/otm5/realisation", "application/json", 405),
        ("POST", "/otm5/realisation", "text/json", 415),
        ("PATCH", "/devices", "application/json", 405),
        ("POST", "/devices", "", 415),
        ("POST", "/api/v1/realisation", "application/json", 415),
        ("DELETE", "/ingest/a", "application/json", 405),
        ("POST", "/ingest/a/b", "application/json", 404),
        ("POST", "/nothing", "application/json", 404),
    ],
)
async def test_method_path_and_content_type_are_checked(start, method, path, content_type, status):
    sandbox, client = await start()
    got, text, headers = await client.send(path, b"x" if method != "GET" else b"", content_type, method)
    assert got == status
    assert json.loads(text)["error"]
    assert ("Allow" in headers) == (status == 405)
    assert sandbox.state().records == {}


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic ZGVtbzpkZW1v"}, {"Authorization": "Bearer"}],
)
@pytest.mark.parametrize("path", sorted({good[2] for good in GOOD}))
async def test_a_wrong_token_is_a_401_with_a_challenge(start, path, headers):
    sandbox, client = await start()
    status, _, answered = await client.send(path, b"{}", "application/json", **headers)
    assert status == 401
    assert answered["WWW-Authenticate"] == 'Bearer realm="sandbox", error="invalid_token"'
    assert sandbox.state().unauthorized == 1


async def test_no_token_at_all_is_a_401_without_an_error_word(start):
    _, client = await start(signed_in=False)
    status, _, headers = await client.send("/devices", b"{}")
    assert (status, headers["WWW-Authenticate"]) == (401, 'Bearer realm="sandbox"')


def _event(**changes):
    return {**EVENT, **changes}


def _place(**changes):
    return _event(geoReference={**EVENT["geoReference"], **changes})


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([EVENT], "one JSON object, not an array"),
        ("text", "one JSON object"),
        (_event(eventType="other"), "eventType"),
        (_event(creationDate="2026-10-27T09:00:31"), "creationDate"),
        (_event(creationDate="2026-10-27"), "creationDate"),
        (_event(creationDate="20261027T090031Z"), "creationDate"),
        (_event(creationDate=17), "creationDate"),
        (_event(lifecycle="done"), "lifecycle"),
        (_event(geoReference=None), "geoReference must be an object"),
        (_place(type="point"), "geoReference.type"),
        (_place(lat="52"), "geoReference.lat"),
        (_place(lat=True), "geoReference.lat"),
        (_place(lat=90.1), "geoReference.lat"),
        (_place(lon=-181), "geoReference.lon"),
    ],
)
async def test_otm5_says_what_is_wrong_with_an_event(start, document, reason):
    sandbox, client = await start()
    status, text, _ = await client.send("/otm5/realisation", json.dumps(document).encode())
    assert status == 400
    assert reason in json.loads(text)["error"]
    assert reason in sandbox.requests("otm5")[0].reason


@pytest.mark.parametrize("date", ["2026-10-27T09:00:31.123456Z", "2026-10-27T11:00:31+02:00"])
async def test_otm5_takes_every_date_time_with_a_zone(start, date):
    _, client = await start()
    assert (await client.send("/otm5/realisation", json.dumps(_event(creationDate=date)).encode()))[0] == 200


@pytest.mark.parametrize("body", [b'{"a": NaN}', b'{"a": 1, "a": 2}', b"{", b"\xff", b"", b"[" * 100_000])
async def test_what_is_no_json_is_refused(start, body):
    _, client = await start()
    status, text, _ = await client.send("/devices", body)
    assert (status, "not valid JSON" in text) == (400, True)


async def test_devices_are_replaced_by_their_two_ids(start):
    sandbox, client = await start()
    for plate in ("A", "B"):
        body = json.dumps({**DEVICE, "licensePlate": plate}).encode()
        assert (await client.send("/devices", body))[0] == 200
    await client.send("/devices", json.dumps({**DEVICE, "externalDeviceId": "8"}).encode())
    assert [device.get("licensePlate") for device in sandbox.devices()] == ["B", None]
    assert sandbox.state().devices == 2
    _, shown = await client.admin("GET", "devices")
    assert shown["devices"] == sandbox.devices()


@pytest.mark.parametrize("change", [{"externalSystemId": ""}, {"externalDeviceId": 7}, {"active": "yes"}])
async def test_a_device_without_its_ids_is_refused(start, change):
    sandbox, client = await start()
    assert (await client.send("/devices", json.dumps({**DEVICE, **change}).encode()))[0] == 400
    assert (await client.send("/devices", json.dumps([DEVICE]).encode()))[0] == 400
    assert sandbox.devices() == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<realisation><tripRealisation/></realisation>", "namespace"),
        (f'<realisation xmlns="{XMLNS}"><tripRealisation/></realisation>'.encode(), "unqualified"),
        (f'<realisation xmlns="{XMLNS}"/>'.encode(), "at least one"),
        (b"<open>", "not well-formed"),
        (b"", "not well-formed"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
    ],
)
async def test_tracking_says_what_is_wrong_with_a_document(start, body, reason):
    _, client = await start()
    status, text, _ = await client.send("/api/v1/realisation", body, "application/xml")
    assert (status, reason in text) == (400, True)


async def test_an_empty_planning_file_is_refused(start):
    _, client = await start()
    assert (await client.send("/trips/insertOrUpdate", b"", "text/csv"))[0] == 400


async def test_gzip_is_refused_where_it_is_not_taken(start):
    _, client = await start(gzip=False)
    status, _, headers = await client.send("/ingest", gzip.compress(b"{}", mtime=0), Content_Encoding="gzip")
    assert (status, headers["Accept-Encoding"]) == (415, "identity")
    assert (await client.send("/ingest", b"{}", Content_Encoding="identity"))[0] == 200


async def test_another_encoding_is_refused(start):
    _, client = await start()
    assert (await client.send("/ingest", b"{}", Content_Encoding="br"))[0] == 415


@pytest.mark.parametrize(
    "body", [b"no gzip", gzip.compress(b"{}", mtime=0)[:-3], gzip.compress(b"{}", mtime=0) + b"rest"]
)
async def test_damaged_gzip_is_refused(start, body):
    sandbox, client = await start()
    status, text, _ = await client.send("/ingest", body, Content_Encoding="gzip")
    assert (status, "gzip" in text) == (400, True)
    assert sandbox.requests("ingest")[0].body.plain == body


async def test_a_lazy_sandbox_unpacks_ingest_only_when_asked(start):
    sandbox, client = await start(lazy=True)
    assert (await client.send("/ingest", gzip.compress(b"[1, 2]"), Content_Encoding="gzip"))[0] == 200
    assert (await client.send("/ingest", b"no gzip", Content_Encoding="gzip"))[0] == 200
    assert (await client.send("/devices", b"no gzip", Content_Encoding="gzip"))[0] == 400
    assert sandbox.state().records == {"ingest": 3}


async def test_gzip_of_several_members_is_one_body(start):
    sandbox, client = await start()
    body = gzip.compress(b"[1,") + gzip.compress(b"2]")
    assert (await client.send("/ingest", body, Content_Encoding="gzip"))[0] == 200
    assert sandbox.state().records == {"ingest": 2}


async def test_a_body_above_the_limit_is_a_413_packed_or_not(start):
    sandbox, client = await start(max_body=10_000)
    assert (await client.send("/ingest", b"x" * 10_000))[0] == 200
    assert (await client.send("/ingest", b"x" * 10_001))[0] == 413
    assert (await client.send("/ingest", gzip.compress(b"x" * 10_001), Content_Encoding="gzip"))[0] == 413
    assert sandbox.state().answered("ingest", 413) == 2


async def test_a_large_body_is_checked_off_the_loop_and_taken(start):
    sandbox, client = await start()
    body = b"h\n" + b"x\n" * 500_000
    assert (await client.send("/trips/insertOrUpdate", body, "text/csv"))[0] == 200
    assert sandbox.state().records == {"planning": 500_000}
