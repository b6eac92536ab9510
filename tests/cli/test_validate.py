"""`push-agent validate`: all errors of all files, or of the one that is asked for."""

from __future__ import annotations

import json

import pytest

BROKEN = """\
job: broken
schedul: {every: 30s}
source: {type: csv, path: /nowhere/*.csv}
body: {format: json, per: record, map: {id: =id}}
target: {connection: platfrom, endpoint: otm5}
"""


def test_a_good_config_is_ok(call, folder):
    assert call("validate", "--config", folder.config) == (0, "ok: 1 job, 1 connection\n", "")


def test_a_whole_folder_can_be_named_as_an_argument(call, folder):
    assert call("validate", folder.config)[0] == 0


def test_all_errors_of_all_files_are_told_at_once_with_place_and_hint(call, folder):
    folder.job("broken", BROKEN)
    folder.job("other", BROKEN.replace("schedul:", "schedule:").replace("broken", "other"))
    code, out, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "jobs/broken.yaml:2:1: schedul: there is no such key here\n  hint: did you mean schedule?" in err
    assert "jobs/other.yaml:5:10: target.connection: " in err
    assert "did you mean platform?" in err
    assert out.startswith("4 errors, 0 warnings; good: 1 job")


def test_one_file_is_checked_with_what_it_refers_to_and_nothing_is_said_of_others(call, folder):
    folder.job("broken", BROKEN)
    good, broken = (folder.config / f"jobs/{name}.yaml" for name in ("planning", "broken"))
    code, _, err = call("validate", good)
    assert (code, err) == (0, "")
    code, _, err = call("validate", broken)
    assert code == 78
    assert "broken.yaml:2:1" in err


def test_a_missing_secret_is_an_error_unless_nobody_wants_to_know(call, folder):
    (folder.config / "secrets/password").unlink()
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "password" in err
    assert call("validate", "--config", folder.config, "--no-secrets")[0] == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no PEM at all", "no PEM file of certificate authorities"),
        ("", "no PEM file of certificate authorities"),
        (None, "No such file or directory"),
    ],
)
def test_an_authority_that_is_no_pem_is_an_error_with_its_line(call, folder, content, message):
    path = folder.config / "ca.pem"
    if content is not None:
        path.write_text(content)
    text = "connection: own\ntype: http\nurl: https://api.example.com\ntls:\n  ca: ca.pem\n"
    (folder.config / "connections/own.yaml").write_text(text)
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert f"connections/own.yaml:5:3: tls.ca: {path}: {message}\n  hint: correct the file" in err
    assert call("validate", "--config", folder.config, "--no-secrets")[0] == 0


def test_a_certificate_without_its_key_is_an_error_with_its_line(call, folder):
    (folder.config / "own.pem").write_text("no PEM")
    text = "connection: own\ntype: http\nurl: https://api.example.com\ntls: {certificate: own.pem, key: own.pem}\n"
    (folder.config / "connections/own.yaml").write_text(text)
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "own.yaml:4:7: tls.certificate: " in err
    assert "no PEM certificate with a matching, unencrypted key" in err


def warn(folder):
    """A connection that is right but should be looked at twice."""
    text = "connection: loose\ntype: http\nurl: https://api.example.com\ntls: {verify: false}\n"
    (folder.config / "connections/loose.yaml").write_text(text)


def test_a_warning_is_told_and_only_strict_makes_it_an_error(call, folder):
    warn(folder)
    code, out, err = call("validate", "--config", folder.config)
    assert (code, out) == (0, "ok: 1 job, 2 connections, 1 warning\n")
    assert err.startswith("warning: ")
    assert "loose.yaml:4:" in err
    assert call("validate", "--config", folder.config, "--strict")[0] == 78


def test_json_holds_every_problem_in_parts(call, folder):
    warn(folder)
    folder.job("broken", BROKEN)
    code, out, err = call("validate", "--config", folder.config, "--output", "json")
    answer = json.loads(out)
    assert (code, err, answer["ok"]) == (78, "", False)
    assert (answer["jobs"], answer["connections"]) == (["planning"], ["loose", "platform"])
    assert [one["severity"] for one in answer["problems"]] == ["warning", "error", "error", "error"]
    assert next(one for one in answer["problems"] if one["path"] == "schedul") == {
        "file": str(folder.config / "jobs/broken.yaml"),
        "line": 2,
        "column": 1,
        "path": "schedul",
        "message": "there is no such key here",
        "hint": "did you mean schedule?",
        "severity": "error",
    }


def test_an_expression_is_compiled_against_the_real_columns(call, folder):
    (folder.drop / "one.csv").write_text("id,plate\n1,AA\n")
    text = BROKEN.replace("schedul:", "schedule:").replace("platfrom", "platform").replace("=id", "=plat")
    folder.job("broken", text.replace("/nowhere/*.csv", f"{folder.drop}/*.csv, settle: 0s"))
    code, _, err = call("validate", "--config", folder.config)
    assert code == 78
    assert "jobs/broken.yaml:4:45: " in err
    assert "plat" in err


def test_an_unreadable_name_and_a_mix_of_folder_and_file_are_bad_usage(call, folder):
    assert call("validate", folder.config / "nothing.yaml")[0] == 2
    code, _, err = call("validate", folder.config, folder.config / "agent.yaml")
    assert code == 2
    assert "hint: " in err


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_config_folder_that_is_missing_or_empty_is_said(call, tmp_path, output):
    code, out, err = call("validate", "--config", tmp_path / "nowhere", "--output", output)
    assert code == 78
    assert "nowhere" in out + err


@pytest.mark.parametrize("text", ["", "i", "id\n", "id,a\n1,x\n2", 'id,a\n1,x\n2,"'])
def test_a_log_that_is_being_written_is_no_reason_for_a_warning(call, folder, text):
    (folder.drop / "app.csv").write_text(text)
    log = f"source: {{type: csv, path: {folder.drop}/app.csv, reread: appended}}"
    job = BROKEN.replace("schedul:", "schedule:").replace("platfrom", "platform")
    folder.job(
        "broken",
        job.replace("source: {type: csv, path: /nowhere/*.csv}", log).replace("{id: =id}", "{id: =a}"),
    )
    assert call("validate", "--config", folder.config, "--strict")[2] == ""
    (folder.drop / "app.csv").write_text("id,b\n1,x\n2")
    code, _, err = call("validate", "--config", folder.config)
    assert (code, "hint: columns there are: id, b" in err) == (78, True), err
