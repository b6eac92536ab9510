"""`dry-run` and `push` of jobs that ask for documents: from the command line to the target."""

from __future__ import annotations

import http.server
import json
import sys
import threading

import pytest

from agent.spool import Reader

API = """\
job: pulled
schedule: {{every: 1h}}
source:
  type: http
  connection: api
  path: /items
  records: /d
  query: {{since: "{{since:date}}"}}
  paging: {{page: page}}
body: {{format: json}}
batch: {{records: 2}}
target: {{connection: platform, endpoint: ingest}}
"""
PROGRAM = """\
job: printed
schedule: {{every: 1h}}
source: {{type: command, command: [{program}]}}
body: {{format: json}}
target: {{connection: platform, endpoint: ingest}}
"""


class Api(http.server.ThreadingHTTPServer):
    """Two pages of two records; remembers what was asked."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.asked = []
        self.tokens = set()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def close(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.server.tokens.add(self.headers["Authorization"])
        page = int(self.path.rpartition("=")[2])
        found = [{"id": page * 2 - 1}, {"id": page * 2}] if page <= 2 else []
        body = json.dumps({"d": found}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def api(folder):
    one = Api()
    folder.secret("token", "the-token-of-the-api")
    (folder.config / "connections/api.yaml").write_text(
        f"connection: api\ntype: http\nurl: http://127.0.0.1:{one.server_port}\n"
        "auth: {type: bearer, token: {secret: token}}\n"
    )
    folder.job("pulled", API.format())
    yield one
    one.close()


def test_dry_run_shows_the_requests_of_all_pages_and_moves_no_cursor(folder, api, call):
    where = ("--config", folder.config, "--state", folder.state)
    code, out, err = call("dry-run", "pulled", *where, "--output", "json", "--limit", 9)
    assert (code, err) == (0, "")
    shown = json.loads(out)
    assert [json.loads(one["body"]) for one in shown] == [[{"id": 1}, {"id": 2}], [{"id": 3}, {"id": 4}]]
    assert [one["origin"] for one in shown] == ["page 1 rows 1-2", "page 2 rows 1-2"]
    assert [path.rpartition("&")[2] for path in api.asked] == ["page=1", "page=2", "page=3"]
    assert api.tokens == {"Bearer the-token-of-the-api"}
    assert not folder.state.exists()


def test_dry_run_stops_asking_when_enough_is_shown(folder, api, call):
    code, _, _ = call("dry-run", "pulled", "--config", folder.config, "--state", folder.state, "--limit", 1)
    assert code == 0
    assert len(api.asked) == 1


def test_dry_run_takes_a_sample_answer_and_asks_nobody(folder, api, call, tmp_path):
    sample = tmp_path / "answer.json"
    sample.write_text('{"d": [{"id": 8}]}')
    code, out, _ = call(
        "dry-run", "pulled", "--config", folder.config, "--sample", sample, "--output", "json"
    )
    assert code == 0
    assert json.loads(json.loads(out)[0]["body"]) == [{"id": 8}]
    assert api.asked == []


def test_dry_run_signs_in_nowhere(folder, api, call):
    text = (folder.config / "connections/platform.yaml").read_text()
    (folder.config / "connections/api.yaml").write_text(
        text.replace("platform", "api") + "url: http://127.0.0.1:9\n"
    )
    code, _, err = call("dry-run", "pulled", "--config", folder.config, "--state", folder.state)
    assert code == 2
    assert "a dry run does not sign in to api" in err
    assert "--sample FILE" in err


def test_validate_asks_nobody(folder, api, call):
    code, out, err = call("validate", "--config", folder.config, "--strict")
    assert (code, err) == (0, "")
    assert out.startswith("ok: ")
    assert api.asked == []


def test_validate_finds_what_is_wrong_with_the_expressions(folder, api, call):
    folder.job("pulled", API.format().replace("{format: json}", "{format: json, map: {a: =id +}}"))
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "body.map.a: " in err


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "export"
    path.write_text(f"#!{sys.executable} -IS\nprint('[{{\"id\": 1}}]')\n")
    path.chmod(0o755)
    return path


def test_dry_run_shows_what_a_program_prints(folder, program, call):
    (folder.config / "agent.yaml").write_text(f"web: {{listen: off}}\ncommands: {{allow: [{program}]}}\n")
    folder.job("printed", PROGRAM.format(program=program))
    code, out, _ = call(
        "dry-run", "printed", "--config", folder.config, "--state", folder.state, "--output", "json"
    )
    assert code == 0
    assert [json.loads(one["body"]) for one in json.loads(out)] == [[{"id": 1}]]


def test_push_sends_what_was_asked_for_and_leaves_no_rows_behind(world, sandbox, program, call, tmp_path):
    api = Api()
    (world.config / "connections/api.yaml").write_text(
        f"connection: api\ntype: http\nurl: http://127.0.0.1:{api.server_port}\n"
    )
    (world.config / "agent.yaml").write_text(f"web: {{listen: off}}\ncommands: {{allow: [{program}]}}\n")
    world.job("pulled", API.format().replace('  query: {since: "{since:date}"}\n', ""))
    world.job("printed", PROGRAM.format(program=program))
    for job, records in (("pulled", 4), ("printed", 1)):
        done = world.run("push", job, "--output", "json", check=0)
        found = json.loads(done.stdout)
        assert (found["state"], found["records"], found["delivered"]) == ("done", records, records)
    api.close()
    with Reader.open(world.state) as reader:
        assert [row for job in ("pulled", "printed") for row in reader.files(job)] == []
    bodies = [one["body"] for one in sandbox.recorded() if "/ingest" in one["path"]]
    assert [json.loads(body) for body in bodies[-3:]] == [
        [{"id": 1}, {"id": 2}],
        [{"id": 3}, {"id": 4}],
        [{"id": 1}],
    ]
