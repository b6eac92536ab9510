from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config import load, load_settings
from agent.config.model import AgentSettings
from tests.support.config_on_disk import JOB, ConfigFolder

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def good(config: ConfigFolder) -> ConfigFolder:
    config.connection()
    config.job("a")
    return config


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_becomes_a_plan_and_says_what_it_read(good):
    loaded = good.load()
    assert not loaded.problems
    assert list(loaded.plan.jobs) == ["a"]
    assert list(loaded.plan.connections) == ["stg"]
    assert set(loaded.accepted) == set(loaded.files) == {"connections/stg.yaml", "jobs/a.yaml"}
    accepted = loaded.accepted["jobs/a.yaml"]
    assert (accepted.kind, accepted.name, accepted.text) == ("job", "a", JOB.format(name="a").encode())
    assert accepted.sha256 == loaded.files["jobs/a.yaml"] == loaded.plan.jobs["a"].sha256
    assert loaded.plan.jobs["a"].file == "jobs/a.yaml"


def test_an_empty_folder_is_an_empty_plan_with_default_settings(config):
    loaded = config.load()
    assert loaded.plan.settings == AgentSettings()
    assert not loaded.problems
    assert not loaded.plan.jobs


def test_a_folder_that_is_missing_or_a_file_is_an_error_with_a_hint(tmp_path):
    assert "there is no such folder" in str(*load(tmp_path / "none").problems)
    (tmp_path / "file").write_text("")
    assert "is not a folder" in str(*load(tmp_path / "file").problems)


def test_yml_04_a_huge_file_is_refused_without_reading_it(good):
    with good.put("jobs/huge.yaml", "job: huge\n").open("r+b") as file:
        file.truncate(1 << 30)
    good.put("jobs/large.yaml", b"# " + b"x" * 1_048_576)
    told = good.told()
    assert "jobs/huge.yaml: the file is larger than 1 MiB" in told
    assert "jobs/large.yaml: the file is larger than 1 MiB" in told


def test_a_pipe_a_folder_and_a_socket_are_no_config_and_do_not_block(good):
    os.mkfifo("jobs/pipe.yaml")
    Path("jobs/folder.yaml").mkdir()
    told = good.told()
    assert "jobs/pipe.yaml: is not a regular file" in told
    assert "jobs/folder.yaml: is a folder, not a file" in told
    assert list(good.load().plan.jobs) == ["a"]


def test_yml_07_a_link_inside_is_read_and_one_that_leads_outside_or_nowhere_is_refused(
    good, tmp_path_factory
):
    outside = tmp_path_factory.mktemp("outside") / "b.yaml"
    outside.write_text(JOB.format(name="outside"))
    good.put("shared/c.yaml", JOB.format(name="inside"))
    Path("jobs/inside.yaml").symlink_to("../shared/c.yaml")
    Path("jobs/outside.yaml").symlink_to(outside)
    Path("jobs/nowhere.yaml").symlink_to("gone.yaml")
    Path("jobs/loop.yaml").symlink_to("loop.yaml")
    loaded = good.load()
    assert list(loaded.plan.jobs) == ["a", "inside"]
    assert {problem.file: problem.message for problem in loaded.problems} == {
        "jobs/loop.yaml": "is a link that leads nowhere",
        "jobs/nowhere.yaml": "is a link that leads nowhere",
        "jobs/outside.yaml": "is a link to a file outside of the config folder",
    }


def test_yml_07_the_config_folder_itself_may_be_a_link_but_not_its_jobs_folder(good, tmp_path_factory):
    base = tmp_path_factory.mktemp("link")
    (base / "config").symlink_to(Path.cwd())
    assert list(load(base / "config").plan.jobs) == ["a"]
    shutil.move("jobs", base / "jobs")
    Path("jobs").symlink_to(base / "jobs")
    assert "jobs: is a link to a folder outside of the config folder" in good.told()


@pytest.mark.parametrize(
    "name", ["b.yaml~", ".b.yaml", "b.yaml.swp", ".b.yaml.swp", "b.yaml.tmp", "b.yaml.bak", "b.yaml.disabled",
             "4913", "b.txt", "b.json", "b.yaml.rpmnew", "b.yaml.dpkg-dist", "#b.yaml#"],
)  # fmt: skip
def test_yml_09_editors_helpers_and_backups_are_no_config(good, name):
    good.put(f"jobs/{name}", "{{{")
    assert not good.load().problems
    assert "jobs/b.yml" in (good.job("b", "x").rename("jobs/b.yml") and good.load().files)


def test_yml_11_one_bad_file_among_a_hundred_keeps_its_last_good_version(good):
    for number in range(100):
        good.job(f"j{number}")
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    good.put("jobs/j7.yaml", "job: j7\nshedule: {}\n")
    without = good.load()
    assert len(without.plan.jobs) == 100
    loaded = good.load(last_good)
    assert len(loaded.plan.jobs) == 101
    assert loaded.kept == {"jobs/j7.yaml"}
    assert "jobs/j7.yaml" not in loaded.accepted
    assert "jobs/j7.yaml" in loaded.files
    assert loaded.problems == without.problems != ()


@pytest.mark.parametrize("text", [b"", b"job: a\nschedule: {every: 3", b"\0" * 400, b"job: a\n"])
def test_a_half_written_or_emptied_file_keeps_its_last_good_version(good, text):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    before = good.load().plan.jobs["a"]
    good.put("jobs/a.yaml", text)
    loaded = good.load(last_good)
    assert loaded.plan.jobs["a"] == before
    assert loaded.plan.jobs["a"].sha256 == before.sha256
    assert loaded.errors


def test_a_job_whose_connection_is_bad_runs_on_with_the_connections_last_good_version(good):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    good.put("connections/stg.yaml", "connection: stg\ntype: htp\n")
    loaded = good.load(last_good)
    assert list(loaded.plan.jobs) == ["a"]
    assert loaded.kept == {"connections/stg.yaml"}
    alone = good.load()
    assert not alone.plan.jobs
    assert "the connection stg has errors: connections/stg.yaml" in "".join(map(str, alone.problems))


def test_a_bad_agent_yaml_keeps_its_last_good_settings_and_harms_no_job(good):
    good.put("agent.yaml", "log: {level: loud}\n")
    loaded = good.load({"agent.yaml": b"log: {level: debug}\n"})
    assert loaded.plan.settings.log_level == "debug"
    assert loaded.kept == {"agent.yaml"}
    assert good.load().plan.settings == load_settings(good.path) == AgentSettings()
    assert list(loaded.plan.jobs) == ["a"]


def test_a_last_good_text_that_is_no_good_any_more_is_not_used(good):
    good.put("jobs/a.yaml", "")
    assert not good.load({"jobs/a.yaml": b"job: [\n"}).plan.jobs


def test_a_deleted_file_is_gone_even_when_its_last_good_text_is_known(good):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    Path("jobs/a.yaml").unlink()
    loaded = good.load(last_good)
    assert not loaded.plan.jobs
    assert not loaded.problems


def test_yml_10_a_folder_that_vanished_keeps_what_was_in_it_and_says_so(good):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    Path("jobs").rename("elsewhere")
    loaded = good.load(last_good)
    assert list(loaded.plan.jobs) == ["a"]
    assert "jobs: the folder is gone" in str(*loaded.problems)
    gone = load(Path("no-such-folder"), last_good=last_good)
    assert list(gone.plan.jobs) == ["a"]
    assert gone.errors


def test_yml_12_two_files_with_one_job_are_both_refused_whatever_their_order(good):
    good.job("twin", "m")
    good.job("twin", "z")
    loaded = good.load()
    assert list(loaded.plan.jobs) == ["a"]
    assert [str(problem) for problem in loaded.problems] == [
        "jobs/m.yaml:1:1: job: the job twin is also in jobs/z.yaml\n  hint: give each its own name",
        "jobs/z.yaml:1:1: job: the job twin is also in jobs/m.yaml\n  hint: give each its own name",
    ]


def test_yml_12_the_twin_that_ran_before_is_kept(good):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    good.put("jobs/0.yaml", JOB.format(name="a").replace("30s", "5m"))
    loaded = good.load(last_good)
    assert loaded.plan.jobs["a"].file == "jobs/a.yaml"
    assert loaded.kept == {"jobs/a.yaml"}


def test_yml_12_a_newcomer_cannot_take_the_name_of_a_job_that_runs_on_its_last_good_version(good):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    good.put("jobs/a.yaml", "")
    good.put("jobs/b.yaml", JOB.format(name="a").replace("30s", "5m"))
    loaded = good.load(last_good)
    assert loaded.plan.jobs["a"].file == "jobs/a.yaml"
    assert "runs on with its last good version" in "".join(map(str, loaded.problems))
    assert "jobs/b.yaml" not in loaded.accepted


def test_yml_12_two_connections_of_one_name_are_refused_with_the_jobs_that_need_them(good):
    good.connection().rename("connections/other.yaml")
    good.connection()
    loaded = good.load()
    assert not loaded.plan.connections
    assert len(loaded.errors) == 3


def test_yml_16_content_decides_and_not_size_or_time(good):
    before = good.load()
    info = Path("jobs/a.yaml").stat()
    good.put("jobs/a.yaml", Path("jobs/a.yaml").read_text().replace("30s", "31s"))
    os.utime("jobs/a.yaml", ns=(info.st_atime_ns, info.st_mtime_ns))
    after = good.load()
    assert before.files["jobs/a.yaml"] != after.files["jobs/a.yaml"]
    assert before.plan.jobs["a"] != after.plan.jobs["a"]
    os.utime("jobs/a.yaml", (4_000_000_000, 4_000_000_000))
    assert good.load() == after


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646, 0o777])
def test_sec_01_a_file_that_others_may_write_is_refused_and_its_last_good_version_kept(good, mode):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    Path("jobs/a.yaml").chmod(mode)
    loaded = good.load(last_good)
    assert loaded.kept == {"jobs/a.yaml"}
    (problem,) = loaded.problems
    assert problem.message == "others may write to this file, so it cannot be trusted"
    assert problem.hint == "run: chmod go-w jobs/a.yaml"


@pytest.mark.parametrize("folder", ["jobs", "connections", "."])
def test_sec_01_a_folder_that_others_may_write_is_one_problem_and_nothing_in_it_is_read(good, folder):
    last_good = {path: accepted.text for path, accepted in good.load().accepted.items()}
    for number in range(3):
        good.job(f"new{number}")
    Path(folder).chmod(0o777)
    loaded = good.load(last_good)
    told = [problem for problem in loaded.problems if "others may write to this folder" in problem.message]
    assert [problem.hint for problem in told] == [f"run: chmod go-w {folder}"]
    assert "a" in loaded.plan.jobs
    assert ("new0" in loaded.plan.jobs) == (folder == "connections")
    assert not good.load().plan.jobs


def test_sec_01_a_folder_above_that_others_may_write_is_refused_unless_it_is_sticky(good):
    inner = good.path / "above" / "config"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o777)
    assert "above: others may write to this folder" in str(*load(inner).problems)
    inner.parent.chmod(0o1777)
    assert not load(inner).problems


@root_only
def test_sec_01_a_folder_above_that_belongs_to_somebody_else_is_refused(good):
    inner = good.path / "above" / "config"
    inner.mkdir(parents=True)
    os.chown(inner.parent, 12345, 12345)
    assert "above: the folder belongs to somebody else" in str(*load(inner).problems)


@root_only
def test_sec_01_files_and_folders_of_somebody_else_are_refused(good):
    os.chown("jobs/a.yaml", 12345, 12345)
    assert "the file belongs to somebody else" in good.told()
    os.chown("jobs", 12345, 12345)
    assert "jobs: the folder belongs to somebody else" in good.told()
    assert not good.load().plan.jobs


@root_only
def test_what_cannot_be_read_is_an_error_in_words():
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = ConfigFolder(Path(name))
        folder.path.chmod(0o755)
        folder.connection()
        folder.job("a").chmod(0o600)
        with as_nobody():
            assert "the file cannot be read: permission denied" in folder.told()
        (folder.path / "jobs").chmod(0o700)
        with as_nobody():
            loaded = folder.load({"jobs/a.yaml": JOB.format(name="a").encode()})
        assert "the folder cannot be read: permission denied" in str(*loaded.problems)
        assert list(loaded.plan.jobs) == ["a"]


def test_names_that_are_no_text_or_would_forge_lines_are_shown_escaped(good):
    Path(os.fsdecode(b"jobs/\xff.yaml")).write_text("")
    Path("jobs/a\nERROR b.yaml").write_text("")
    for problem in good.load().problems:
        assert problem.file.isprintable()
        problem.file.encode()


def test_config_in_the_wrong_place_is_warned_about(good):
    good.put("gps.yaml", "job: gps\n")
    good.put("agent.yml", "")
    good.put("agent.yaml", "log: {}\n")
    severities = {problem.file: problem.severity for problem in good.load().problems}
    assert severities == {"gps.yaml": "warning", "agent.yml": "error"}


def test_problems_are_sorted_by_file_and_line(good):
    good.put("jobs/z.yaml", "job: z\nfoo: 1\nbar: 2\n")
    good.put("jobs/b.yaml", "")
    good.put("connections/x.yaml", "")
    places = [(problem.file, problem.line) for problem in good.load().problems]
    assert places == sorted(places)


WORDS = st.sampled_from(
    ["job", "schedule", "every", "cron", "at", "watch", "source", "type", "csv", "file", "path", "body", "format", "json",
     "raw", "map", "target", "connection", "stg", "endpoint", "url", "headers", "auth", "password", "secret", "http",
     "30s", "{id}", "=x", "no", "012", "batch", "types", "auto", "timeout", "https://[", "success", "done", "move"]
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(
        WORDS, st.integers(-2, 500), st.booleans(), st.none(), st.floats(allow_nan=False), st.text(max_size=5)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["jobs/x.yaml", "connections/x.yaml", "agent.yaml"]),
    st.dictionaries(WORDS, VALUES, max_size=7),
)
def test_whatever_is_written_there_is_a_plan_or_a_problem_and_never_a_traceback(config, name, value):
    import yaml  # noqa: PLC0415 - only this test writes YAML

    for old in ("jobs/x.yaml", "connections/x.yaml", "agent.yaml"):
        Path(old).unlink(missing_ok=True)
    config.connection()
    config.put(name, yaml.safe_dump(value, allow_unicode=True))
    loaded = config.load()
    assert name in loaded.accepted or loaded.errors
    assert all(problem.line for problem in loaded.errors if "empty" not in problem.message)


def test_importing_the_config_loads_none_of_the_heavy_libraries():
    code = "import agent.config, sys; print([m for m in ('aiohttp', 'duckdb', 'sqlalchemy', 'pyarrow') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout == "[]\n"
