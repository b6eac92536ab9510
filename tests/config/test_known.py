"""A load that is told what is known gives what a load of everything gives, and reads what changed only."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent.config import Known, Loaded, load
from agent.reload.fingerprint import Fingerprint, look
from tests.support.config_on_disk import CONNECTION, JOB, ConfigFolder

COMMAND = """\
job: {name}
schedule: {{every: 30s}}
source: {{type: command, command: [/usr/bin/positions], format: json}}
body: {{format: json, per: record, map: {{id: =id}}}}
target: {{connection: stg, endpoint: planning}}
"""
ALLOWED = "commands: {allow: [/usr/bin/positions]}\n"
SCHEMA = JOB.replace("map: {{id: =id}}", "map: {{id: =id}}, schema: schemas/event.json")


class Folder:
    """Loaded again and again, each time with what is known of the time before; and anew, to compare."""

    def __init__(self, config: ConfigFolder) -> None:
        self.config = config
        self.last = Loaded(plan=load(Path("none")).plan)
        self.good: dict[str, bytes] = {}

    def load(self) -> list[str]:
        """The jobs that were read again or newly read, when all else is as it is in a load of everything."""
        seen = look(self.config.path, Fingerprint(), self.last.beside)
        known = Known(right=self.last.right, marks=seen.files)
        loaded = load(self.config.path, last_good=self.good, known=known)
        anew = load(self.config.path, last_good=self.good)
        assert loaded.plan == anew.plan
        assert loaded.problems == anew.problems
        assert loaded.accepted == anew.accepted
        assert (loaded.kept, loaded.files, loaded.beside) == (anew.kept, anew.files, anew.beside)
        before, self.last = self.last, loaded
        self.good |= {path: accepted.text for path, accepted in loaded.accepted.items()}
        return [
            Path(path).stem
            for path, piece in loaded.right.items()
            if path.startswith("jobs/") and before.right.get(path) is not piece
        ]


@pytest.fixture
def folder(config: ConfigFolder) -> Folder:
    config.connection()
    config.connection("other")
    for name in ("a", "b", "c"):
        config.job(name)
    made = Folder(config)
    assert made.load() == ["a", "b", "c"]
    return made


def test_what_lies_as_it_lay_is_not_read_again(folder):
    assert folder.load() == []


def test_one_changed_job_is_read_again_alone(folder):
    folder.config.put("jobs/b.yaml", JOB.format(name="b").replace("30s", "1m"))
    assert folder.load() == ["b"]
    assert folder.load() == []


def test_a_job_with_another_name_and_one_that_is_gone(folder):
    folder.config.put("jobs/b.yaml", JOB.format(name="z"))
    (folder.config.path / "jobs/c.yaml").unlink()
    assert folder.load() == ["b"]
    assert list(folder.last.plan.jobs) == ["a", "z"]


def test_a_name_that_is_given_twice_refuses_both_and_one_of_them_again_is_right(folder):
    file = folder.config.job("a", file="twin")
    assert folder.load() == []
    assert {Path(problem.file).name for problem in folder.last.errors} == {"a.yaml", "twin.yaml"}
    assert folder.last.kept == {"jobs/a.yaml"}
    assert folder.load() == []
    file.unlink()
    assert folder.load() == ["a"]
    assert not folder.last.problems


def test_a_connection_that_loses_an_endpoint_refuses_jobs_that_lie_as_they_lay_with_their_lines(folder):
    file = folder.config.put("connections/stg.yaml", CONNECTION.format(name="stg").replace("planning:", "x:"))
    assert folder.load() == []
    assert [(Path(problem.file).name, problem.line) for problem in folder.last.errors] == [
        ("a.yaml", 5),
        ("b.yaml", 5),
        ("c.yaml", 5),
    ]
    assert folder.load() == []
    file.write_text(CONNECTION.format(name="stg"))
    assert folder.load() == ["a", "b", "c"]
    assert not folder.last.problems


def test_a_connection_with_another_address_leaves_its_jobs_right(folder):
    folder.config.put("connections/stg.yaml", CONNECTION.format(name="stg").replace("trips", "tours"))
    assert folder.load() == []
    assert folder.last.plan.connections["stg"].endpoints["planning"].endswith("/tours")


@pytest.mark.parametrize("what", ["gone", "bad", "a database"])
def test_a_connection_that_cannot_be_used_any_more(folder, what):
    file = folder.config.path / "connections/stg.yaml"
    if what == "gone":
        file.unlink()
    elif what == "bad":
        file.write_text("connection: stg\ntype: nothing\n")
    else:
        file.write_text("connection: stg\ntype: database\nurl: sqlite:////data/fleet.db\n")
    folder.load()
    assert folder.load() == []


def test_a_program_that_is_not_allowed_any_more(folder):
    agent = folder.config.put("agent.yaml", ALLOWED)
    folder.config.put("jobs/d.yaml", COMMAND.format(name="d"))
    assert folder.load() == ["d"]
    agent.unlink()
    assert folder.load() == []
    assert "is not allowed to run" in folder.last.errors[0].message


def test_a_schema_that_a_job_names_is_looked_at(folder):
    schema = folder.config.put("schemas/event.json", '{"type": "object"}')
    folder.config.put("jobs/d.yaml", SCHEMA.format(name="d"))
    assert folder.load() == ["d"]
    assert folder.load() == []
    schema.write_text('{"type": ["object", "null"]}')
    assert folder.load() == ["d"]
    schema.unlink()
    assert folder.load() == []
    assert folder.last.kept == {"jobs/d.yaml"}


def test_sec_01_what_others_may_write_is_refused_though_its_text_is_the_same(folder):
    job = folder.config.path / "jobs/a.yaml"
    job.chmod(0o666)
    assert folder.load() == []
    assert "others may write to this file" in folder.last.errors[0].message
    job.chmod(0o644)
    assert folder.load() == ["a"]
    (folder.config.path / "jobs").chmod(0o777)
    assert folder.load() == []
    assert "others may write to this folder" in folder.last.errors[0].message
    assert folder.last.kept == {"jobs/a.yaml", "jobs/b.yaml", "jobs/c.yaml"}


def test_sec_01_a_link_out_of_the_folder_is_refused_though_its_text_is_the_same(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "a.yaml"
    job = folder.config.path / "jobs/a.yaml"
    shutil.copy(job, outside)
    job.unlink()
    job.symlink_to(outside)
    assert folder.load() == []
    assert "is a link to a file outside of the config folder" in folder.last.errors[0].message


def test_a_link_inside_of_the_folder_is_read_each_time(folder):
    folder.config.put("texts/d.yaml", JOB.format(name="d"))
    (folder.config.path / "jobs/d.yaml").symlink_to("../texts/d.yaml")
    assert folder.load() == ["d"]
    assert folder.load() == ["d"]
