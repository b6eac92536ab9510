"""The config on a bad day: the message names the file, everything that was good goes on."""

from __future__ import annotations

import pytest


def rejected(stage, file):
    """What `status` says of a file that is not used as it stands."""
    return next(
        (one for one in stage.ask("status")["config"]["rejected"] if one["file"].endswith(file)), None
    )


def words_of(problem):
    return " ".join([problem["message"], problem["hint"]])


def test_a_missing_secret_is_named_by_status_and_heals_when_its_file_appears(stage):
    stage.connection(password=f"{stage.name}_password").records().load()
    stage.numbers(10)
    why = stage.until_waits("not signed in")
    assert f"{stage.name}_password" in why
    assert "does not exist" in stage.session()["last_error"]
    stage.world.secret(f"{stage.name}_password", "password-of-the-world")
    stage.all_arrived()
    assert stage.sandbox.state()["failed_logins"] == 0


def test_a_secret_that_others_can_read_is_not_used_until_its_mode_is_mended(stage):
    stage.world.secret(f"{stage.name}_password", "password-of-the-world")
    path = stage.world.config / "secrets" / f"{stage.name}_password"
    path.chmod(0o644)
    stage.connection(password=f"{stage.name}_password").records().load()
    stage.numbers(10)
    why = stage.until_waits("can be read by others")
    assert str(path) in why
    assert stage.sandbox.state()["logins"] == 0
    path.chmod(0o600)
    stage.all_arrived()


def test_yml_12_a_second_file_with_the_name_of_a_running_job_is_refused_and_the_job_goes_on(stage):
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    twin = (stage.world.config / f"jobs/{stage.name}.yaml").read_text()
    path = stage.write(f"jobs/{stage.name}-twin.yaml", twin)
    stage.world.until(lambda: rejected(stage, f"{stage.name}-twin.yaml"), "status tells of the twin")
    stage.numbers(10)
    stage.all_arrived()
    told = rejected(stage, f"{stage.name}-twin.yaml")["problems"]
    assert stage.name in words_of(told[0])
    assert f"{stage.name}.yaml" in words_of(told[0])
    path.unlink()
    stage.world.until(lambda: not rejected(stage, f"{stage.name}-twin.yaml"), "all is well again")


def test_a_folder_with_the_name_of_a_file_is_refused_and_everything_else_loads(stage):
    (stage.world.config / f"jobs/{stage.name}-x.yaml").mkdir()
    stage.connection().records()
    stage.load()
    assert stage.status()["name"] == stage.name
    told = rejected(stage, f"{stage.name}-x.yaml")["problems"][0]
    assert "regular file" in words_of(told) or "not a file" in words_of(told) or "folder" in words_of(told)
    stage.numbers(10)
    stage.all_arrived()
    (stage.world.config / f"jobs/{stage.name}-x.yaml").rmdir()


def test_yml_08_a_file_that_stays_half_written_is_refused_at_its_line_until_the_rest_is_there(stage):
    stage.connection().records().load()
    whole = (stage.world.config / f"jobs/{stage.name}.yaml").read_text()
    late = whole.replace(f"job: {stage.name}\n", f"job: {stage.name}-late\n")
    path = stage.write(f"jobs/{stage.name}-late.yaml", late[: late.index("{move: done/") + 7])
    told = stage.world.until(
        lambda: rejected(stage, f"{stage.name}-late.yaml"), "status tells of the half file"
    )
    assert not told["kept"]
    assert told["problems"][0]["line"] >= 7
    stage.numbers(10)
    stage.all_arrived()
    with path.open("a") as file:
        file.write(late[late.index("{move: done/") + 7 :])
    stage.world.until(lambda: not rejected(stage, f"{stage.name}-late.yaml"), "the whole file is taken")
    stage.status(f"{stage.name}-late")


@pytest.mark.timeout(150)  # on a busy machine a daemon takes seconds to start
def test_yml_11_a_job_whose_file_is_bad_runs_on_its_last_good_version_over_a_restart(scene):
    world = scene.world
    scene.connection().records().records(f"{scene.name}-good", endpoint="other", folder="good")
    world.start()
    scene.numbers(10)
    scene.all_arrived()
    path = world.config / f"jobs/{scene.name}.yaml"
    good = path.read_text()
    scene.write(f"jobs/{scene.name}.yaml", good.replace("batch:", "batsch:"))
    told = world.until(lambda: rejected(scene, f"{scene.name}.yaml"), "the bad file is refused")
    assert told["kept"]
    assert "batch" in words_of(told["problems"][0])
    world.kill()
    world.start()
    assert rejected(scene, f"{scene.name}.yaml")["kept"]
    scene.numbers(10)
    scene.put("g.csv", "n\ng\n", folder="good")
    scene.all_arrived()
    world.until(lambda: scene.arrived(f"{scene.name}-other") == ["g"], "the good job runs too")
    assert scene.sandbox.state()["logins"] == 1


def test_a_first_start_with_one_bad_file_among_good_ones_runs_the_good_ones(scene):
    scene.connection().records()
    scene.write("jobs/bad.yaml", "job: bad\nschedule: {every: 30x}\n")
    scene.world.start()
    told = rejected(scene, "bad.yaml")
    assert not told["kept"]
    assert any(problem["line"] == 2 for problem in told["problems"])
    scene.numbers(10)
    scene.all_arrived()
