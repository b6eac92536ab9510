"""Jobs that ask for documents in a real daemon: killed in the middle of a page and of a program."""

from __future__ import annotations

import http.server
import json
import os
import select
import sys
import threading

import pytest

PAGES = """\
job: {name}
schedule: {{every: 1h}}
source: {{type: http, connection: {name}, endpoint: items, records: /d, paging: {{cursor: /c}}}}
body: {{format: json, map: {{n: =n}}}}
target: {{connection: {name}, endpoint: ingest}}
"""
PROGRAM = """\
job: {name}
schedule: {{every: 1h}}
source: {{type: command, command: [{program}, {told}]}}
body: {{format: json, map: {{n: =n}}}}
target: {{connection: {name}, endpoint: ingest}}
"""


class Api(http.server.ThreadingHTTPServer):
    """Three pages of two records; the second one waits until it is let go."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.daemon_threads = True
        self.asked = []
        self.tokens = []
        self.free = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server_port}/items"

    def close(self):
        self.free.set()
        self.shutdown()
        self.server_close()
        self.thread.join()


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        page = int(self.path.partition("cursor=")[2] or 1)
        self.server.tokens.append(self.headers["Authorization"] or "")
        self.server.asked.append(page)
        if page == 2:
            self.server.free.wait()
        found = {"d": [{"n": page * 2 - 1}, {"n": page * 2}], "c": page + 1 if page < 3 else None}
        body = json.dumps(found).encode()
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # it was killed meanwhile
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def api():
    one = Api()
    yield one
    one.close()


def wait_for_end(pid):
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([handle], [], [], 30)[0], f"{pid} lives on"
    finally:
        os.close(handle)


def test_a_daemon_killed_in_the_middle_of_a_page_goes_on_there_and_each_record_comes_once(scene, api):
    scene.connection(endpoints={"items": api.url})
    scene.world.job(scene.name, PAGES.format(name=scene.name))
    scene.world.start()
    scene.world.until(lambda: 2 in api.asked, "the second page is asked for")
    scene.world.until(lambda: scene.arrived() == [1, 2], "the first page is delivered")
    # a request that was answered and not yet acknowledged may come again, with its key
    scene.world.until(lambda: scene.status()["waiting_messages"] == 0, "its delivery is noted")
    scene.world.kill()
    api.free.set()
    scene.world.start()
    scene.world.run("push", scene.name, check=0)
    scene.world.until(lambda: len(scene.arrived()) >= 6, "all pages are delivered")
    assert scene.arrived() == [1, 2, 3, 4, 5, 6]
    assert api.asked == [1, 2, 2, 3]
    assert all(token.startswith("Bearer ") for token in api.tokens)


def test_del_50_a_program_dies_with_a_daemon_that_is_killed(scene, tmp_path):
    program, told = tmp_path / "export", tmp_path / "pid"
    os.mkfifo(told)
    program.write_text(
        f"#!{sys.executable} -IS\nimport os, sys, time\n"
        "if os.fork() == 0: os.setsid()\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()}\\n')\ntime.sleep(600)\n"
    )
    program.chmod(0o755)
    scene.write("agent.yaml", f"web: {{listen: off}}\ncommands: {{allow: [{program}]}}\n")
    scene.connection()
    scene.world.job(scene.name, PROGRAM.format(name=scene.name, program=program, told=told))
    scene.world.start()
    pids = []
    while len(pids) < 2:
        pids += [int(line) for line in told.read_text().split()]
    scene.world.kill()
    for pid in pids:
        wait_for_end(pid)
    assert scene.arrived() == []
