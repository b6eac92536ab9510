"""`push-agent dry-run`: the exact requests, without network and without a byte of state."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shlex
import subprocess
import sys

import pytest

from agent.request import MASK
from tests.support.world import ROOT

POSITIONS = """\
job: positions
schedule: {{every: 1h, watch: true}}
source:
  type: csv
  path: {drop}/*.csv
  settle: 0s
  types: {{lat: DOUBLE, lon: DOUBLE}}
  on_bad_row: dead_letter
  done: {{move: done/}}
body:
  format: json
  per: record
  map:
    eventType: locationUpdateEvent
    creationDate: =utc(recorded_at)
    lifecycle: actual
    vehicle: {{entity: {{licensePlate: =plate}}}}
    geoReference: {{type: latLonPointGeoReference, lat: =lat, lon: =lon}}
target: {{connection: platform, endpoint: otm5, headers: {{X-Plate: "{{plate}}"}}}}
"""
ROWS = """\
recorded_at,plate,lat,lon
2026-10-27T11:00:00+02:00,AA-01,52.1,5.1
2026-10-27T11:00:01+02:00,AA-02,52.2,5.2
2026-10-27T11:00:02+02:00,AA-03,52.3,5.3
"""
# Every use of a socket, however it comes about, is an audit event of the interpreter (PEP 578).
NO_SOCKETS = """\
import sys

def refuse(event, arguments):
    if event.startswith("socket."):
        raise SystemExit(f"a socket was used: {event} {arguments}")

sys.addaudithook(refuse)
from agent.commands import run_command_line
sys.exit(run_command_line(sys.argv[1:]))
"""


@pytest.fixture
def positions(folder):
    folder.job("positions", POSITIONS.format(drop=folder.drop))
    (folder.drop / "one.csv").write_text(ROWS)
    return folder


def dry_run(call, world, *options):
    code, out, err = call(
        "dry-run", "positions", "--config", world.config, "--state", world.state, "--output", "json", *options
    )
    assert (code, err) == (0, ""), err
    return json.loads(out)


def fingerprint(folder):
    """Every file below a folder, with its mode, its size, its times and the hash of its bytes."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in folder.rglob("*")
    }


def test_it_shows_method_address_headers_body_and_where_it_comes_from(call, positions):
    code, out, err = call("dry-run", "positions", "--config", positions.config, "--state", positions.state)
    assert code == 0
    first = out.split("\n\n# ")[0]
    assert "request 1: 1 record, " in first
    assert "from one.csv" in first
    assert "\nPOST http://127.0.0.1:9/otm5/realisation\n" in first
    assert f"\nAuthorization: {MASK}\n" in first
    assert "\nX-Plate: AA-01\n" in first
    assert "\nIdempotency-Key: " in first
    assert '"creationDate":"2026-10-27T09:00:00Z"' in first
    assert "password-of-the-world" not in out + err
    assert "(the first 3; more with --limit N)" in err


def test_json_holds_the_whole_request(call, positions):
    shown = dry_run(call, positions, "--limit", "1")
    assert len(shown) == 1
    one = shown[0]
    assert one["file"] == str(positions.drop / "one.csv")
    assert (one["method"], one["url"]) == ("POST", "http://127.0.0.1:9/otm5/realisation")
    assert one["headers"]["Authorization"] == MASK
    assert one["headers"]["Idempotency-Key"] == one["key"]
    assert one["sent_gzipped"] is True
    assert one["headers"]["Content-Encoding"] == "gzip"
    assert (one["records"], one["size"]) == (1, len(one["body"].encode()))
    assert json.loads(one["body"])["vehicle"] == {"entity": {"licensePlate": "AA-01"}}


def test_it_uses_no_socket_at_all(positions):
    arguments = ["dry-run", "positions", "--config", str(positions.config), "--state", str(positions.state)]
    done = subprocess.run(
        [sys.executable, "-c", NO_SOCKETS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("POST http://127.0.0.1:9/") == 3


def test_it_works_where_there_is_no_network(positions):
    if subprocess.run(["unshare", "--net", "--map-root-user", "true"], check=False).returncode:
        pytest.skip("this machine lets nobody make a network namespace")
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-m", "agent", "dry-run", "positions"]
    done = subprocess.run(
        [*command, "--config", str(positions.config), "--state", str(positions.state)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("POST http://127.0.0.1:9/") == 3


def test_the_audit_hook_of_these_tests_would_notice_a_socket():
    code = NO_SOCKETS.partition("from agent")[0] + "import socket\nsocket.socket().connect(('127.0.0.1', 9))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "a socket was used" in done.stderr


def test_the_requests_are_those_which_the_daemon_then_sends(call, world, sandbox):
    world.job("positions", POSITIONS.format(drop=world.drop))
    (world.drop / "one.csv").write_text(ROWS)
    before = len(sandbox.recorded())
    shown = dry_run(call, world, "--limit", "9")
    world.start()
    world.until(lambda: sandbox.state()["requests"].get("otm5") == {"200": 3}, "the positions are delivered")
    sent = [one for one in sandbox.recorded()[before:] if one["endpoint"] == "otm5"]
    assert [one["key"] for one in shown] == [one["key"] for one in sent]
    assert [one["body"] for one in shown] == [one["body"] for one in sent]
    assert [one["method"] for one in shown] == [one["method"] for one in sent]
    assert [one["url"] for one in shown] == [sandbox.url + one["path"] for one in sent]
    assert [one["sent_gzipped"] for one in shown] == [one["gzip"] for one in sent]
    assert [one["size_gzipped"] for one in shown] == [one["bytes"] for one in sent]
    assert dry_run(call, world) == []  # it was read already


def test_no_byte_of_the_state_changes_whether_the_daemon_runs_was_stopped_or_was_killed(call, world, sandbox):
    world.job("positions", POSITIONS.format(drop=world.drop))
    sandbox.faults({"on": "otm5", "answer": 503})
    (world.drop / "one.csv").write_text(ROWS)
    world.start()
    world.until(lambda: world.events("collected"), "the positions wait in the spool")
    world.until(lambda: sandbox.state()["requests"].get("otm5"), "the target was asked once")
    fresh = ROWS.replace("AA-", "BB-")

    def unchanged(count):
        before = fingerprint(world.state)
        sample = world.folder / "sample.csv"
        sample.write_text(fresh)
        assert len(dry_run(call, world, "--sample", str(sample))) == count
        assert len(dry_run(call, world, "--all")) == count
        assert dry_run(call, world) == []
        return fingerprint(world.state) == before

    # a running daemon writes when it tries again, which is no fault of the dry run
    world.until(lambda: unchanged(3), "a dry run beside a daemon that has nothing to write")
    world.kill()
    assert any(name.endswith("-wal") for name in fingerprint(world.state))
    assert unchanged(3)
    sandbox.no_faults()
    world.start()
    world.stop()
    assert unchanged(3)


def test_without_a_state_folder_none_is_made(call, positions):
    assert len(dry_run(call, positions)) == 3
    assert not positions.state.exists()


def test_a_sample_is_read_instead_of_the_files_of_the_job(call, positions, tmp_path):
    sample = tmp_path / "sample.csv"
    sample.write_text(ROWS.replace("AA-", "ZZ-"))
    shown = dry_run(call, positions, "--sample", sample)
    assert [json.loads(one["body"])["vehicle"]["entity"]["licensePlate"] for one in shown] == [
        "ZZ-01",
        "ZZ-02",
        "ZZ-03",
    ]
    assert call("dry-run", "positions", "--config", positions.config, "--sample", tmp_path / "no")[0] == 2


def test_a_bad_record_is_shown_with_its_line_and_reason(call, positions):
    (positions.drop / "one.csv").write_text(ROWS.replace("52.2", "north"))
    shown = dry_run(call, positions)
    bad = [one for one in shown if "bad_record" in one]
    assert len(bad) == 1
    assert bad[0]["line"] == 3
    assert "lat" in bad[0]["reason"]
    assert "north" in bad[0]["bad_record"]
    code, out, _ = call("dry-run", "positions", "--config", positions.config)
    assert code == 0
    assert "record of one.csv:3 becomes a dead letter: " in out


def test_a_bad_record_fails_the_file_where_the_job_says_so(call, positions):
    positions.job("positions", POSITIONS.format(drop=positions.drop).replace("dead_letter", "fail"))
    (positions.drop / "one.csv").write_text(ROWS.replace("52.2", "north"))
    code, _, err = call("dry-run", "positions", "--config", positions.config)
    assert code == 1
    assert err.startswith("error: one.csv")
    assert "line 3" in err
    assert "north" in err


def test_curl_sends_the_same_body_when_a_shell_runs_it(call, positions):
    options = ("--config", positions.config, "--state", positions.state, "--limit", "1")
    code, out, _ = call("dry-run", "positions", *options, "--curl")
    assert code == 0
    words = shlex.split(out.replace("\\\n", " "))
    assert "curl" in words
    assert "http://127.0.0.1:9/otm5/realisation" in words
    assert "password-of-the-world" not in out


def test_a_body_that_is_no_text_is_shown_in_base64(call, folder):
    data = gzip.compress(b"x") + bytes(range(256))
    (folder.drop / "one.csv").write_bytes(data)
    code, out, _ = call("dry-run", "planning", "--config", folder.config, "--output", "json")
    assert code == 0
    assert base64.b64decode(json.loads(out)[0]["body_base64"]) == data
    code, out, _ = call("dry-run", "planning", "--config", folder.config)
    assert code == 0
    assert "that are no text)" in out


def test_control_characters_in_the_data_do_not_reach_the_terminal(call, folder):
    (folder.drop / "one.csv").write_bytes(b"a\x1b[31mred\x07\n")
    code, out, _ = call("dry-run", "planning", "--config", folder.config)
    assert code == 0
    assert "\x1b[31m" not in out
    assert "\\u001b[31mred" in out


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("{format: csv, map: {plate: =plate, at: =lat}}", "plate,at\nAA-01,52.1\nAA-02,52.2\nAA-03,52.3"),
        ("{format: ndjson, map: {p: =plate}}", '{"p":"AA-01"}\n{"p":"AA-02"}\n{"p":"AA-03"}'),
        (
            "{format: xml, root: {name: all}, each: r, map: {p: =plate}}",
            (
                '<?xml version="1.0" encoding="UTF-8"?>\n<all>\n<r><p>AA-01</p></r>\n<r><p>AA-02</p></r>\n'
                "<r><p>AA-03</p></r>\n</all>"
            ),
        ),
    ],
)
def test_bodies_of_lines_are_shown_as_lines(call, folder, body, shown):
    source = f"{{type: csv, path: {folder.drop}/*.csv, settle: 0s, types: {{lat: DOUBLE}}}}"
    target = "{connection: platform, endpoint: otm5}"
    folder.job(
        "lines", f"job: lines\nschedule: {{every: 1h}}\nsource: {source}\nbody: {body}\ntarget: {target}\n"
    )
    (folder.drop / "one.csv").write_text(ROWS)
    code, out, err = call("dry-run", "lines", "--config", folder.config, "--state", folder.state)
    assert (code, err) == (0, "")
    assert out.split("\n\n")[1].rstrip("\n") == shown


def test_nothing_to_send_says_what_was_looked_for(call, folder):
    code, out, _ = call("dry-run", "planning", "--config", folder.config)
    assert code == 0
    assert out == (
        f"nothing to send: no settled file matches {folder.drop}/*.csv (--sample FILE shows one of yours)\n"
    )


def test_an_unknown_job_is_bad_usage_with_a_guess(call, folder):
    code, _, err = call("dry-run", "planing", "--config", folder.config)
    assert code == 2
    assert "there is no job 'planing'" in err
    assert "hint: did you mean planning?" in err


def test_a_broken_job_says_what_is_wrong_and_no_other_job_minds(call, positions):
    positions.job("planning", "job: planning\nschedul: {every: 1s}\n")
    code, _, err = call("dry-run", "planning", "--config", positions.config)
    assert code == 78
    assert "planning.yaml:2:1: schedul" in err
    assert len(dry_run(call, positions)) == 3


def log_job(folder):
    text = POSITIONS.replace("settle: 0s", "reread: appended").replace("  done: {{move: done/}}\n", "")
    text = text.replace("{{every: 1h, watch: true}}", "{{watch: true}}").replace("*.csv", "app.csv")
    folder.job("positions", text.format(drop=folder.drop))
    return folder.drop / "app.csv"


def test_of_a_log_it_shows_what_is_complete_and_a_sample_whole(call, folder):
    log = log_job(folder)
    log.write_text(ROWS + "2026-10-27T11:00:03+02:00,AA-04,52")
    shown = dry_run(call, folder, "--limit", "9")
    assert [one["origin"] for one in shown] == [f"app.csv row {row}" for row in (1, 2, 3)]
    assert shown == dry_run(call, folder, "--all", "--limit", "9")
    sample = folder.drop / "sample.txt"
    sample.write_text(ROWS)
    assert len(dry_run(call, folder, "--sample", sample)) == 3
    code, out, err = call("dry-run", "positions", "--config", folder.config, "--as-test", "--limit", "1")
    assert (code, err) == (0, ""), err
    assert "AA-01" in out


def test_what_is_added_to_a_watched_log_is_sent_at_once_and_shown_before(call, world, sandbox):
    log = log_job(world)
    log.write_text(ROWS)
    before = len(sandbox.recorded())
    shown = dry_run(call, world, "--limit", "9")
    world.start()
    world.until(lambda: sandbox.state()["requests"].get("otm5") == {"200": 3}, "the log is delivered")
    assert dry_run(call, world) == []
    world.stop()
    with log.open("a") as file:
        file.write("2026-10-27T11:00:03+02:00,AA-04,52.4,5.4\n")
    later = dry_run(call, world)
    assert [one["origin"] for one in later] == ["app.csv row 4"]
    world.start()
    world.until(lambda: sandbox.state()["requests"].get("otm5") == {"200": 4}, "what was added is delivered")
    with log.open("a") as file:
        file.write("2026-10-27T11:00:04+02:00,AA-05,52.5,5.5\n")
    world.until(lambda: sandbox.state()["requests"].get("otm5") == {"200": 5}, "the watch saw the change")
    sent = [one for one in sandbox.recorded()[before:] if one["endpoint"] == "otm5"]
    assert [one["key"] for one in (*shown, *later)] == [one["key"] for one in sent][:4]
