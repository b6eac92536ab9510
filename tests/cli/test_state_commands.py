"""`status`, `auth status`, `dead list`, `dead show`, `reload`: looking at a state, with and without a daemon."""

from __future__ import annotations

import json
import re
import signal

import pytest

from agent.collect.files import AGAIN
from agent.message import receipt_for
from tests.cli.conftest import PLANNING
from tests.support.spool import OK, draft, open_spool, stamp

EVENTS = """\
job: events
schedule: {{every: 1h, watch: true}}
source: {{type: csv, path: {drop}/*.csv, settle: 0s}}
body: {{format: json, per: record}}
target: {{connection: platform, endpoint: otm5}}
"""


@pytest.fixture
def fails_for_good(world):
    """A daemon whose target has refused one record; stopped again."""
    world.job("events", EVENTS.format(drop=world.drop))
    (world.drop / "one.csv").write_text("eventType,text\nnonsense,\x07höhe\n")
    world.start()
    world.until(lambda: world.live("events")["dead"], "the record is refused")
    world.stop()
    return world


def ask(call, world, *words):
    code, out, err = call(*words, "--config", world.config, "--state", world.state, "--output", "json")
    assert code == 0, err
    return json.loads(out)


def read(call, world, *words):
    code, out, err = call(*words, "--config", world.config, "--state", world.state)
    assert code == 0, err
    return out


# ---------------------------------------------------------------------------------- status


def test_status_without_a_state_says_that_nothing_runs_and_makes_nothing(call, folder):
    out = read(call, folder, "status")
    assert "not running" in out
    snapshot = ask(call, folder, "status")
    assert (snapshot["started_at"], snapshot["jobs"], snapshot["connections"]) == (None, [], [])
    assert not folder.state.exists()


def test_status_shows_what_is_delivered_and_who_is_signed_in_with_the_daemon_and_without_it(call, world):
    world.job("planning", PLANNING.format(drop=world.drop))
    (world.drop / "one.csv").write_text("a\n1\n")
    world.start()
    done = world.drop / "done/one.csv"
    world.until(done.exists, "the file is delivered and moved")
    live = ask(call, world, "status")
    assert live["started_at"]
    assert live["config"]["jobs"] == 1
    job = live["jobs"][0]
    assert (job["name"], job["delivered_messages"], job["waiting_messages"]) == ("planning", 1, 0)
    assert job["next_due_at"]
    assert live["connections"][0]["session"] == "signed in"
    signed_in(call, world)
    assert "running since" in read(call, world, "status")
    world.stop()
    left = ask(call, world, "status")
    assert left["started_at"] is None
    assert left["jobs"][0]["delivered_messages"] == 1
    assert "not running" in read(call, world, "status")
    signed_in(call, world)


def signed_in(call, world):
    """`auth status` counts one login, with the daemon and without it."""
    one = ask(call, world, "auth", "status")[0]
    assert (one["name"], one["session"], one["generation"]) == ("platform", "signed in", 1)
    assert (one["logins"], one["refreshes"], one["failures"]) == (1, 0, 0)
    assert one["expires_at"]
    out = read(call, world, "auth", "status")
    assert "platform" in out
    assert "signed in" in out


def test_status_explains_in_a_sentence_why_a_lane_waits_also_without_the_daemon(call, world, sandbox):
    sandbox.faults({"on": "planning", "answer": 503})
    world.job("planning", PLANNING.format(drop=world.drop))
    (world.drop / "one.csv").write_text("a\n1\n")
    world.start()
    world.until(lambda: world.live("planning")["lanes"], "the lane waits")
    for _ in ("with the daemon", "without it"):
        job = ask(call, world, "status")["jobs"][0]
        assert (job["waiting_messages"], job["waiting_records"]) == (1, 1)
        assert job["lanes"][0]["kind"] == "retry"
        assert "503" in job["lanes"][0]["why"]
        out = read(call, world, "status")
        assert "planning (lane 0): " in out
        assert "503 Service Unavailable" in out
        if world.daemon.poll() is None:
            world.stop()


def test_status_tells_of_a_file_that_cannot_be_moved_and_another_folder_helps_at_once(call, world, sandbox):
    text = PLANNING.format(drop=world.drop)
    world.job("planning", text)
    (world.drop / "done").write_text("a file where the folder should be")
    (world.drop / "one.csv").write_text("a\n1\n")
    world.start()
    world.until(lambda: world.live("planning")["unmoved_files"], "it is told")
    job = ask(call, world, "status")["jobs"][0]
    [file] = job["unmoved"]
    assert (file["path"], file["reason"]) == (str(world.drop / "one.csv"), f"File exists: {world.drop}/done")
    assert (job["delivered_messages"], job["waiting_messages"]) == (1, 0)
    assert f"hint: {world.drop}/done must be a folder; it is not sent again" in read(call, world, "status")
    world.job("planning", text.replace("done/", "sent/"))
    read(call, world, "reload")
    world.until((world.drop / "sent/one.csv").exists, "it is moved to the other folder")
    world.until(lambda: not world.live("planning")["unmoved_files"], "there is nothing more to tell")
    assert len([one for one in sandbox.recorded() if one["endpoint"] == "planning"]) == 1


def dealt_with(folder, names):
    """Files that were delivered and that nobody has moved; what the spool has of each."""
    spool = open_spool(folder.state)
    run = spool.start_run("planning", 1.0, "every", "sha").result()
    rows = {}
    for name in names:
        path = name if name.startswith("page") else str(folder.drop / name)
        rows[name] = spool.open_file("planning", run, stamp(path), f"sha of {name}", hold=False).result()
        spool.append(run, [draft()], file=rows[name]).result()
        spool.release_file(rows[name]).result()
    for message in spool.oldest("planning", 0, limit=100).result():
        if message.file != rows.get("waits.csv"):
            spool.ack(message, receipt_for(message, 2.0, 1, "POST", "https://target.test/in", OK)).result()
    return spool, rows


def test_status_without_a_daemon_tells_which_files_lie_there_though_they_are_dealt_with(call, folder):
    names = ("one.csv", "moved.csv", "waits.csv", "finished.csv", "again.csv", "page 1")
    for name in ("one.csv", "waits.csv", "finished.csv", "again.csv"):
        (folder.drop / name).write_text("a\n1\n")
    spool, rows = dealt_with(folder, names)
    spool.finish_file(rows["finished.csv"], state="done", moved_to=None).result()
    opened = spool.open_file("planning", 1, stamp(str(folder.drop / "again.csv")), "new", hold=True).result()
    spool.abandon_file(opened, f"{AGAIN}the job changed in the middle").result()
    spool.finish_file(rows["again.csv"], state="done", moved_to=None).result()
    spool.close()
    [job] = ask(call, folder, "status")["jobs"]
    [file] = job["unmoved"]
    assert (file["path"], job["unmoved_files"]) == (str(folder.drop / "one.csv"), 1)
    told = read(call, folder, "status")
    assert f"{folder.drop}/one.csv is dealt with, but cannot be moved: push-agent does not run" in told
    assert "hint: start push-agent (where it could not be moved before, the log says why); it is not" in told


def test_status_without_a_daemon_shows_some_of_many_files_that_lie_there_and_counts_the_others(call, folder):
    names = [f"{n}.csv" for n in range(7)]
    for name in names:
        (folder.drop / name).write_text("a\n1\n")
    spool, _ = dealt_with(folder, names)
    spool.close()
    [job] = ask(call, folder, "status")["jobs"]
    assert (len(job["unmoved"]), job["unmoved_files"]) == (5, 7)
    assert "planning: 2 files more cannot be moved" in read(call, folder, "status")


def test_status_tells_of_a_rejected_file_and_that_its_last_version_goes_on(call, world):
    text = PLANNING.format(drop=world.drop)
    world.job("planning", text)
    world.start()
    world.job("planning", text.replace("schedule:", "schedul:"))
    code, out, err = call("reload", "--config", world.config, "--state", world.state)
    assert code == 78
    assert out == "1 unchanged, 1 rejected (planning.yaml:1)\n"
    assert "did you mean schedule?" in err
    out = read(call, world, "status")
    assert "planning.yaml is rejected; its last good version goes on" in out
    assert "hint: did you mean schedule?" in out


# ---------------------------------------------------------------------------------- reload


def test_reload_says_what_changed(call, world):
    world.start()
    world.job("planning", PLANNING.format(drop=world.drop))
    answer = ask(call, world, "reload")
    assert (answer["rejected"], answer["problems"]) == (0, [])
    assert [job["name"] for job in ask(call, world, "status")["jobs"]] == ["planning"]
    assert "unchanged" in read(call, world, "reload")


def test_reload_without_a_daemon_is_exit_code_69_with_a_hint(call, folder):
    code, out, err = call("reload", "--config", folder.config, "--state", folder.state)
    assert (code, out) == (69, "")
    assert err.startswith(f"error: no daemon runs on {folder.state}\n  hint: ")


def test_a_second_daemon_on_the_same_state_is_exit_code_75_and_names_the_first(world):
    world.start()
    done = world.run_alone("run")
    assert done.returncode == 75
    assert str(world.daemon.pid) in done.stderr


@pytest.mark.parametrize(
    "words", [("status",), ("plan",), ("dead", "list"), ("auth", "status")], ids=" ".join
)
def test_a_state_that_is_no_database_is_exit_code_78(call, folder, words):
    folder.state.mkdir()
    (folder.state / "state.db").write_bytes(b"something else" * 1000)
    code, out, err = call(*words, "--config", folder.config, "--state", folder.state)
    assert (code, out) == (78, "")
    assert err.startswith(f"error: the state in {folder.state} cannot be read: ")


def test_a_daemon_whose_state_folder_cannot_be_made_is_exit_code_78(call, folder):
    (folder.folder / "file").write_text("in the way")
    folder.state = folder.folder / "file/state"
    done = folder.run("run")
    assert done.returncode == 78
    assert done.stderr.splitlines()[-2].startswith("error: ")
    assert done.stderr.splitlines()[-1].startswith("  hint: ")


def test_the_daemon_stops_on_ctrl_c_as_on_sigterm(world):
    world.start()
    world.daemon.send_signal(signal.SIGINT)
    assert world.daemon.wait(timeout=20) == 0


# ---------------------------------------------------------------------------------- dead letters


def test_no_dead_letters_is_said(call, folder):
    assert read(call, folder, "dead", "list") == "no dead letters\n"
    assert read(call, folder, "dead", "list", "--job", "planning") == "no dead letters of planning\n"
    assert ask(call, folder, "dead", "list") == []


def test_a_refused_record_is_listed_and_shown_with_the_bytes_sent_and_the_answer(call, fails_for_good):
    world = fails_for_good
    letters = ask(call, world, "dead", "list")
    assert len(letters) == 1
    letter = letters[0]
    assert (letter["job"], letter["records"], letter["origin"]) == ("events", 1, "one.csv row 1")
    assert letter["answer"]["status"] == 400
    assert "eventType must be 'locationUpdateEvent'" in letter["answer"]["body"]
    assert letter["request"]["method"] == "POST"
    assert letter["request"]["url"].endswith("/otm5/realisation")
    assert not any("uthorization" in name for name in letter["request"]["headers"])
    shown = ask(call, world, "dead", "show", str(letter["id"]))
    assert json.loads(shown.pop("body")["text"]) == {"eventType": "nonsense", "text": "\x07höhe"}
    assert shown == letter

    line = read(call, world, "dead", "list").splitlines()[1]
    assert "events" in line
    assert "400" in line
    text = read(call, world, "dead", "show", str(letter["id"]))
    assert "POST http://127.0.0.1" in text
    assert f"Idempotency-Key: {letter['key']}" in text
    assert "eventType must be" in text
    assert "\x07" not in text
    assert "höhe" in text
    assert read(call, world, "dead", "list", "--job", "other") == "no dead letters of other\n"
    assert re.search(
        r"1 dead letter, \w+ old: push-agent dead list --job events", read(call, world, "status")
    )


def test_a_dead_letter_that_is_not_there_is_said(call, folder):
    code, out, err = call("dead", "show", "17", "--config", folder.config, "--state", folder.state)
    assert (code, out) == (1, "")
    assert err == "error: there is no dead letter 17\n  hint: push-agent dead list shows all\n"


# ---------------------------------------------------------------------------------- sign-in


def test_auth_status_shows_why_nobody_is_signed_in(call, world):
    world.secret("password", "a-wrong-password")
    world.job("planning", PLANNING.format(drop=world.drop))
    (world.drop / "one.csv").write_text("a\n1\n")
    world.start()
    world.until(lambda: ask(call, world, "auth", "status")[0]["last_error"], "the login fails")
    one = ask(call, world, "auth", "status")[0]
    assert one["logins"] == 0
    assert one["failures"] == 1
    assert "401" in one["last_error"]
    out = read(call, world, "auth", "status")
    assert f"platform: {one['last_error']}" in out
    assert "a-wrong-password" not in out + world.logged()
    assert "platform" in read(call, world, "status")


def test_auth_status_before_any_sign_in(call, folder):
    assert read(call, folder, "auth", "status") == "no connection has signed in yet\n"
    assert ask(call, folder, "auth", "status") == []
