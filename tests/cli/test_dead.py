"""`dead list|show|retry|drop|export|edit` over a state folder, without a daemon; some with one."""

from __future__ import annotations

import gzip
import io
import json
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import SystemClock
from agent.commands import dead_desk
from agent.errors import AgentError
from agent.letters import LettersByHand
from agent.spool import Reader, Spool, Which
from tests.cli.conftest import PLANNING
from tests.support.spool import draft, letter

HOUR = 3600.0
# What `history --since` says too (see test_find_and_history).
HOW = "  hint: write 2h or 7d (so long ago), 2026-11-26, or 2026-11-26T06:00:00+01:00\n"


@pytest.fixture
def ask(call, folder):
    """A command with this folder's config and state: exit code, stdout, stderr."""

    def run(*words):
        return call("dead", *words, "--config", folder.config, "--state", folder.state)

    return run


@pytest.fixture
def told(ask):
    """Its JSON."""

    def run(*words):
        code, out, err = ask(*words, "--output", "json")
        assert code == 0, err
        return json.loads(out)

    return run


def opened(folder):
    return Spool.open(folder.state, max_bytes=10**9, clock=SystemClock())


def die(folder, *letters, job="planning"):
    """Messages with (body, changes of the letter) that died, in this order; their keys."""
    spool = opened(folder)
    run = spool.start_run(job, 1.0, "every", "sha").result()
    drafts = [draft(gzip.compress(body, mtime=0), records=1) for body, _ in letters]
    drafts = [replace(each, size=len(body)) for each, (body, _) in zip(drafts, letters, strict=True)]
    keys = spool.append(run, drafts).result()
    for message, (_, more) in zip(spool.oldest(job, 0, limit=1000).result(), letters, strict=True):
        made = replace(letter(message), died_at=time.time() - more.pop("ago", 0.0))
        answer = replace(made.answer, **{key: more.pop(key) for key in ("status",) if key in more})
        spool.bury(message, replace(made, answer=answer, **more)).result()
    spool.close()
    return keys


@pytest.fixture
def five(folder):
    """1 to 4: of planning, refused; 5 of gps, expired, without an answer, a day old."""
    die(
        folder,
        (b'{"n":1.10}', {"ago": 5 * HOUR}),
        (b'{"n":2}', {"ago": 4 * HOUR, "status": 400}),
        (b'{"n":3}', {"ago": 3 * HOUR, "status": 503}),
        (b'{"n":4}', {"ago": 2 * HOUR}),
    )
    die(folder, (b'{"n":5}', {"ago": 24 * HOUR, "status": None, "reason": "expired"}), job="gps")
    return folder


def ids(letters):
    return [one["id"] for one in letters]


def waiting(folder, job="planning"):
    spool = opened(folder)
    found = [gzip.decompress(message.body) for message in spool.oldest(job, 0, limit=1000).result()]
    spool.close()
    return found


def kept(folder):
    with Reader.open(folder.state) as reader:
        return sorted(one.id for one in reader.letters(Which(), 1000))


# ---------------------------------------------------------------------------------- list


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), [5, 4, 3, 2, 1]),
        (("--job", "gps"), [5]),
        (("--status", "4xx"), [4, 2, 1]),
        (("--status", "400,503"), [3, 2]),
        (("--status", "400-421, none"), [5, 2]),
        (("--since", "210m"), [4, 3]),
        (("--until", "210m"), [5, 2, 1]),
        (("--older-than", "10h"), [5]),
        (("--since", "270m", "--older-than", "150m"), [3, 2]),
        (("--until", "2026-01-31"), []),
        (("--since", "2026-01-31T08:00:00Z", "--limit", "2"), [5, 4]),
        (("--reason", "expired"), [5]),
        (("--job", "gps", "--status", "4xx"), []),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_list_finds_what_the_filters_say(five, told, words, found):
    assert ids(told("list", *words)) == found


def test_list_finds_a_letter_by_its_key(folder, told):
    keys = die(folder, (b"1", {}), (b"2", {}))
    assert ids(told("list", "--key", keys[1])) == [2]


def test_list_says_how_many_more_there_are(five, ask):
    code, out, err = ask("list", "--limit", "2")
    assert (code, len(out.splitlines()), err) == (0, 3, "3 older ones more of 5: --limit 5\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("list", "--status", "wrong"),
            "error: --status 'wrong' is no HTTP status\n  hint: write 422, 4xx, ",
        ),
        (("list", "--since", "yesterday"), f"error: --since 'yesterday' is no time\n{HOW}"),
        (("list", "--until", "2026-13-01"), f"error: --until '2026-13-01' is no time\n{HOW}"),
        (
            ("list", "--older-than", "3"),
            'error: --older-than: "3" is no duration such as 30s, 5m or 2h\n  hint: say',
        ),
        (("retry",), "error: which dead letters?\n  hint: give ids, a filter such as --job JOB, or --all\n"),
        (("drop", "--yes"), "error: which dead letters?\n"),
        (("export", "--all"), "error: export whereto?\n"),
        (("edit", "1", "--undo", "--body", "x"), "error: --undo and --body exclude each other\n"),
        (("show", "1", "--curl", "--body"), "error: --body and --curl exclude each other\n"),
        (("retry", "1", "9", "--job", "gps"), "error: there is no dead letter 9\n"),
        (("drop", "1", "--job", "gps"), "error: not all of these dead letters match the filters\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_said(five, ask, words, said):
    code, out, err = ask(*words)
    assert (code, out) == (1 if "no dead letter" in said else 2, "")
    assert err.startswith(said)
    assert kept(five) == [1, 2, 3, 4, 5]


# ---------------------------------------------------------------------------------- show


def test_show_gives_the_body_byte_for_byte_and_a_command_that_sends_it(folder, ask):
    body = b'{"text":"\x07h\xc3\xb6he","n":1.10}'
    [key] = die(folder, (body, {"headers": {"X-Kind": "a b", "Content-Encoding": "gzip"}}))
    code, out, _ = ask("show", "1")
    assert code == 0
    assert '{"text":"\\u0007höhe","n":1.10}' in out  # no terminal: as it was sent
    assert "send it again: push-agent dead retry 1" in out
    code, out, _ = ask("show", "1", "--curl")
    assert out == (
        "push-agent dead show 1 --body | curl --request POST --header 'Content-Type: application/json' "
        f"--header 'X-Kind: a b' --header 'Idempotency-Key: {key}' --data-binary @- https://target.test/in\n"
    )
    done = folder.run("dead", "show", "1", "--body", check=0)
    assert done.stdout.encode() == body


def test_show_lays_json_out_on_a_terminal(folder, ask, monkeypatch):
    die(folder, (b'{"a":[1.10]}', {}))
    monkeypatch.setattr("agent.commands.dead.on_terminal", lambda: True)
    _, out, _ = ask("show", "1")
    assert '{\n  "a": [\n    1.10\n  ]\n}' in out


def test_show_does_not_throw_bytes_that_are_no_text_at_the_terminal(folder, ask):
    die(
        folder,
        (b"PK\x00\x01", {"content_type": "application/zip"}),
        (b"x" * 9_000, {"content_type": "text/plain"}),
    )
    assert "4 bytes that are no text (--body gives them as they are)" in ask("show", "1")[1]
    assert "… 5,000 more bytes (--body gives all, as they are)" in ask("show", "2")[1]


# ---------------------------------------------------------------------------------- retry and drop


def test_retry_of_an_id_asks_nobody_and_of_many_wants_a_yes(five, ask, told):
    assert told("retry", "2")["jobs"] == {"planning": 1}
    code, out, err = ask("retry", "--job", "planning")
    assert (code, out) == (2, "")
    assert err.startswith("error: this would retry 3 dead letters (planning: 3), 24 B, the oldest 5h ")
    assert "--yes" in err
    assert told("retry", "--job", "planning", "--dry-run") == {
        "matched": 3,
        "jobs": {"planning": 3},
        "unsendable": 0,
    }
    assert kept(five) == [1, 3, 4, 5]
    code, out, err = ask("retry", "--job", "planning", "--yes")
    assert (code, out) == (0, "sent again: 3 dead letters (planning: 3)\n")
    assert err == "no daemon runs: they leave when it does\n"
    assert waiting(five) == [b'{"n":2}', b'{"n":1.10}', b'{"n":3}', b'{"n":4}']
    assert kept(five) == [5]


def test_retry_with_a_limit_takes_the_oldest_first(five, told):
    assert told("retry", "--all", "--limit", "2", "--yes")["retried"] == 2
    assert waiting(five) == [b'{"n":1.10}', b'{"n":2}']


def test_retry_passes_over_what_never_was_a_request_and_says_so(folder, ask):
    die(folder, (b"1", {}))
    spool = opened(folder)
    spool.append(spool.start_run("planning", 1.0, "every", "sha").result(), [draft(b"x")]).result()
    spool.add_dead(letter(spool.oldest("planning", 0).result()[0], "bad record")).result()
    spool.close()
    code, out, err = ask("retry", "--all", "--yes")
    assert (code, out) == (0, "sent again: 1 dead letter (planning: 1)\n")
    assert err.startswith("1 other cannot be sent: never a request, or damaged\n")
    code, _, err = ask("retry", "2")
    assert code == 1
    assert err.startswith("error: dead letter 2 cannot be sent: its reason is “bad record”\n  hint: ")
    assert "it cannot be sent again" in ask("show", "2")[1]


def test_drop_forgets_what_matches_and_nothing_else(five, ask, told):
    assert told("drop", "--older-than", "10h") == {"dropped": 1, "jobs": {"gps": 1}}
    code, out, _ = ask("drop", "--status", "4xx", "--yes")
    assert (code, out) == (0, "dropped: 3 dead letters (planning: 3)\n")
    assert kept(five) == [3]
    assert ask("drop", "--job", "gps", "--yes")[:2] == (0, "no dead letter matches\n")


def test_a_question_on_a_terminal_can_be_answered_with_no(five, ask, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    code, _, err = ask("drop", "--all")
    assert code == 130
    assert "Drop 5 dead letters (gps: 1, planning: 4)" in err
    assert kept(five) == [1, 2, 3, 4, 5]
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert ask("drop", "--all")[0] == 0
    assert kept(five) == []


def test_more_letters_than_a_piece_holds_go_in_order(folder, told):
    die(folder, *((b"%d" % number, {}) for number in range(600)))
    assert told("retry", "--all", "--yes")["retried"] == 600
    assert waiting(folder) == [b"%d" % number for number in range(600)]


def test_heavy_letters_go_one_by_one(five, monkeypatch):
    monkeypatch.setattr(dead_desk, "_PIECE_WEIGHT", 30)
    with Reader.open(five.state) as reader:
        chosen = dead_desk.choose(reader, Which(), (), 3, everything=True)
    assert [[spot.id for spot in piece] for piece in dead_desk.pieces(five.state, chosen)] == [[1], [2], [3]]
    monkeypatch.setattr(dead_desk, "_PIECE_WEIGHT", 70)
    assert [[spot.id for spot in piece] for piece in dead_desk.pieces(five.state, chosen)] == [[1, 2], [3]]


def test_a_state_in_use_by_another_command_is_said(five, ask):
    spool = opened(five)
    code, _, err = ask("retry", "1")
    spool.close()
    assert code == 69
    assert "is in use by the daemon with pid" in err


# ---------------------------------------------------------------------------------- export


def test_export_writes_a_file_for_each_body_and_an_index_for_its_owner_only(five, ask, tmp_path):
    target = tmp_path / "out"
    code, out, _ = ask("export", "--all", "--to", str(target))
    assert (code, out) == (0, f"exported: 5 dead letters to {target}, see index.jsonl\n")
    lines = [json.loads(line) for line in (target / "index.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[0]["file"] == "00000001-planning.json"
    assert (target / lines[0]["file"]).read_bytes() == b'{"n":1.10}'
    assert lines[4]["reason"] == "expired"
    assert sorted(path.name for path in target.iterdir()) == sorted(
        [*(line["file"] for line in lines), "index.jsonl"]
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in target.iterdir()} == {0o600}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    code, _, err = ask("export", "--all", "--to", str(target))
    assert (code, err.splitlines()[0]) == (2, f"error: {target} holds an export already")
    assert kept(five) == [1, 2, 3, 4, 5]


def test_export_to_standard_output_has_a_letter_a_line(five, ask):
    code, out, _ = ask("export", "--job", "planning", "--output", "ndjson")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["body"]["text"] for line in lines] == ['{"n":1.10}', '{"n":2}', '{"n":3}', '{"n":4}']
    assert lines[0]["answer"]["status"] == 422


def test_an_export_that_cannot_be_written_says_so(five, ask, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "00000002-planning.json").write_text("there")
    code, _, err = ask("export", "--all", "--to", str(tmp_path / "out"))
    assert code == 1
    assert "00000002-planning.json: File exists" in err
    assert not (tmp_path / "out" / "index.jsonl").exists()
    assert (tmp_path / "out" / "00000002-planning.json").read_text() == "there"


# ---------------------------------------------------------------------------------- edit


def editor(tmp_path, monkeypatch, script):
    path = tmp_path / "editor"
    path.write_text(
        f"#!{sys.executable}\nimport sys\npath = sys.argv[1]\nold = open(path).read()\n{script}\n"
    )
    path.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(path))


def test_a_letter_is_edited_in_the_editor_and_sent_again_with_another_key(
    folder, ask, told, tmp_path, monkeypatch
):
    [key] = die(folder, (b'{"plate":"?","n":1.10}', {}))
    editor(tmp_path, monkeypatch, "open(path, 'w').write(old.replace('?', 'AA-11'))")
    code, out, err = ask("edit", "1")
    assert (code, err) == (0, "")
    assert out == (
        f"dead letter 1: changed: 22 → 26 bytes; its key is {key}.e1\n  send it with: push-agent dead retry 1\n"
    )
    assert "refused, edited" in ask("list")[1]
    shown = ask("show", "1")[1]
    assert f"it died as {key} with 22 bytes: push-agent dead edit 1 --undo" in shown
    assert '{"plate":"AA-11","n":1.10}' in shown
    assert told("edit", "1", "--undo")["key"] == key
    assert told("show", "1")["body"]["text"] == '{"plate":"?","n":1.10}'
    told("edit", "1")
    told("retry", "1")
    assert waiting(folder) == [b'{"plate":"AA-11","n":1.10}']


def test_an_editor_that_changes_nothing_changes_nothing(folder, told, tmp_path, monkeypatch):
    [key] = die(folder, (b'{"n":1.10}', {}))
    editor(tmp_path, monkeypatch, "assert old.splitlines()[1] == '  \"n\": 1.10', old")
    assert told("edit", "1", "--pretty") == {"id": 1, "key": key, "outcome": "not changed"}


def test_a_body_from_a_file_or_from_a_pipe_is_stored(folder, ask, told, tmp_path, monkeypatch):
    die(folder, (b'[{"n":1},{"n":2}]', {"records": 2}))
    (tmp_path / "fixed").write_bytes(b'[{"n":1}]')
    told("edit", "1", "--body", str(tmp_path / "fixed"))
    assert told("list")[0]["records"] == 1
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[{"n":7}]')))
    told("edit", "1", "--body", "-")
    assert told("show", "1")["body"]["text"] == '[{"n":7}]'
    code, _, err = ask("edit", "1", "--body", str(tmp_path / "none"))
    assert (code, err.splitlines()[0]) == (
        2,
        f"error: {tmp_path}/none cannot be read: No such file or directory",
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [(b'{"n":}', "it is no well-formed JSON: line 1 column 6: "), (b"", "the body is empty")],
)
def test_a_body_that_is_not_well_formed_is_stored_only_by_force(folder, ask, told, body, said):
    [key] = die(folder, (b'{"n":1}', {}))
    bad = folder.folder / "bad"
    bad.write_bytes(body)
    code, _, err = ask("edit", "1", "--body", bad)
    assert code == 1
    assert err.startswith(f"error: {said}")
    assert "--force" in err
    assert told("list")[0]["key"] == key
    code, _, err = ask("edit", "1", "--body", bad, "--force")
    assert code == 0
    assert err.startswith(f"warning: {said}")
    assert told("list")[0]["key"] == f"{key}.e1"


def test_after_a_mistake_in_the_editor_there_is_a_choice(folder, ask, told, tmp_path, monkeypatch):
    die(folder, (b'{"n":1}', {}))
    editor(tmp_path, monkeypatch, "open(path, 'w').write('{' if old == '{\"n\":1}' else '{}')")
    monkeypatch.setattr(sys, "stdin", io.StringIO("g\n"))
    code, _, err = ask("edit", "1")
    assert code == 130
    assert "it is no well-formed JSON" in err
    assert told("show", "1")["body"]["text"] == '{"n":1}'
    monkeypatch.setattr(sys, "stdin", io.StringIO("e\n"))
    assert ask("edit", "1")[0] == 0
    assert told("show", "1")["body"]["text"] == "{}"


def test_what_an_editor_wrote_is_kept_when_it_cannot_be_stored(folder, ask, tmp_path, monkeypatch):
    die(folder, (b"1", {}))
    editor(tmp_path, monkeypatch, "open(path, 'w').write('2')")
    spool = opened(folder)
    code, _, err = ask("edit", "1")
    spool.close()
    assert code == 69
    path = err.split("--body ")[1].strip()
    assert Path(path).read_text() == "2"


def test_a_body_that_is_no_text_is_not_given_to_an_editor(folder, ask):
    die(folder, (b"PK\x00\xff", {}))
    code, _, err = ask("edit", "1")
    assert code == 1
    assert "the body of dead letter 1 is no text" in err


# ---------------------------------------------------------------------------------- the daemon's half


async def test_letters_of_a_job_that_the_config_has_no_more_are_told(five):
    spool = opened(five)
    by_hand = LettersByHand(spool, lambda: ["planning"])
    answer = await by_hand.answer({"action": "retry", "ids": [1, 5, 99]})
    assert (answer["jobs"], answer["unknown"]) == ({"planning": 1, "gps": 1}, ["gps"])
    assert answer["refused"] == [{"id": 99, "reason": "there is no dead letter 99"}]
    spool.close()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "dead knows no None"),
        ({"action": "burn"}, "dead knows no 'burn'"),
        ({"action": "drop", "ids": "1"}, "a list of at most 500 ids"),
        ({"action": "drop", "ids": list(range(501))}, "a list of at most 500 ids"),
        ({"action": "retry", "ids": [True]}, "whole numbers"),
        ({"action": "retry", "ids": [1], "weight": "x"}, "a whole number as weight"),
        ({"action": "undo", "id": "1"}, "a whole number as id"),
        ({"action": "undo", "id": 1}, "dead letter 1 was not edited"),
        ({"action": "edit", "id": 1, "body": "?"}, "no base64"),
        (
            {"action": "edit", "id": 1, "body": "", "size": 0, "records": 1, "was": ""},
            "by somebody else meanwhile",
        ),
    ],
)
async def test_the_daemon_is_not_confused_by_questions_that_make_no_sense(five, asked, said):
    spool = opened(five)
    with pytest.raises(AgentError, match=said):
        await LettersByHand(spool).answer(asked)
    spool.close()
    assert kept(five) == [1, 2, 3, 4, 5]


# ---------------------------------------------------------------------------------- with a daemon


def test_with_a_daemon_letters_are_edited_sent_again_and_dropped_at_once(call, world, sandbox):
    """The target refuses, until the record is put right."""
    world.job("planning", PLANNING.format(drop=world.drop))
    sandbox.faults({"on": "planning", "answer": 422, "times": 2})
    world.start()
    for name in ("one", "two"):
        (world.drop / f"{name}.csv").write_text(f"a\n{name}\n")
        world.until(lambda name=name: (world.drop / f"failed/{name}.csv").exists(), "it is refused")
    words = ("--config", world.config, "--state", world.state, "--output", "json")
    big = world.folder / "big"
    big.write_text("a\n" + "".join(f"{number:x}{number * 7919:x}\n" for number in range(400_000)))
    code, out, err = call("dead", "edit", "1", "--body", big, *words)
    assert code == 0, err
    key = json.loads(out)["key"]
    assert key.endswith(".e1")
    assert json.loads(call("status", *words)[1])["jobs"][0]["oldest_dead_seconds"] >= 0
    assert json.loads(call("dead", "retry", "1", *words)[1])["retried"] == 1
    world.until(lambda: world.live("planning")["delivered_messages"] == 1, "the edited one is delivered")
    delivered = [
        one for one in sandbox.recorded() if one.get("status") == 200 and one["endpoint"] == "planning"
    ]
    assert [one["key"] for one in delivered] == [key]
    exported = call("dead", "export", "--all", "--output", "ndjson", *words[:4])[1]
    assert json.loads(exported)["body"]["text"] == "a\ntwo\n"
    assert not [word for word in ("uthorization", "Bearer", "password-of-the-world") if word in exported]
    assert json.loads(call("dead", "drop", "--all", "--yes", *words)[1]) == {
        "dropped": 1,
        "jobs": {"planning": 1},
    }
    assert world.live("planning")["dead"] == 0
