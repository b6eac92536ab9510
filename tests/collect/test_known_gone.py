"""`seen/JOB` of a job that is gone goes too: later, and never while the job is there or has something to send."""

from __future__ import annotations

from agent.collect.known import sweep_gone

DAY = 86_400.0


def folder(tmp_path, job="j"):
    made = tmp_path / "seen" / job
    made.mkdir(parents=True)
    (made / "a.parquet").write_bytes(b"x")
    return made


def test_it_goes_a_week_after_the_job_was_missed_first(tmp_path):
    ours, other = folder(tmp_path), folder(tmp_path, "other")
    for day in (0, 3, 7):
        sweep_gone(tmp_path, {"other"}, 1_000.0 + day * DAY)
        assert (ours / "a.parquet").exists()
    sweep_gone(tmp_path, {"other"}, 1_000.0 + 7.01 * DAY)
    assert not ours.exists()
    assert [path.name for path in other.iterdir()] == ["a.parquet"]
    sweep_gone(tmp_path / "none", set(), 0.0)


def test_a_job_that_came_back_in_between_is_counted_anew(tmp_path):
    ours = folder(tmp_path)
    sweep_gone(tmp_path, set(), 1_000.0)
    sweep_gone(tmp_path, {"j"}, 1_000.0 + 5 * DAY)  # it is there, or its messages wait
    sweep_gone(tmp_path, set(), 1_000.0 + 9 * DAY)
    assert (ours / "a.parquet").exists()
