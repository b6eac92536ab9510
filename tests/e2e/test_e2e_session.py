"""The Auth API on a bad day: no login that is not allowed, a wait that `status` explains, nothing lost."""

from __future__ import annotations

import pytest


@pytest.fixture
def signed_in(stage):
    """A running job that has delivered ten records, so that its session has a token."""
    stage.connection().records().load()
    stage.numbers(10)
    stage.all_arrived()
    return stage


def calls(sandbox):
    state = sandbox.state()
    return state["logins"], state["refreshes"]


def told(stage):
    return [line for line in stage.world.events("cannot sign in") if line["connection"] == stage.name]


def test_auth_26_refresh_that_answers_401_leads_to_exactly_one_login(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "answer": 401, "times": 1})
    signed_in.sandbox.expire()
    signed_in.numbers(20)
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (2, 0)


def test_auth_25_refresh_that_answers_400_is_loud_and_waits_without_a_login(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "answer": 400, "body": "invalid_grant"})
    signed_in.sandbox.expire()
    signed_in.numbers(10)
    why = signed_in.until_waits("not signed in")
    assert "400" in why
    assert "400" in signed_in.session()["last_error"]
    assert [line["level"] for line in told(signed_in)] == ["error"]
    assert calls(signed_in.sandbox) == (1, 0)
    assert signed_in.sandbox.state()["requests"]["refresh"] == {"400": 1}
    # What heals it is a person: here one who says that 400 means a dead refresh token.
    signed_in.connection(more="  login_again_on: [400, 401]").load()
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (2, 0)


def test_auth_24_refresh_that_answers_500_for_a_while_is_asked_again_and_nobody_logs_in(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "answer": 500, "times": 3})
    signed_in.sandbox.expire()
    signed_in.numbers(20)
    assert "500" in signed_in.until_waits("not signed in")
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (1, 1)


def test_auth_44_refresh_that_hangs_stops_no_other_connection_and_goes_on_when_it_answers(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "hold": True, "times": 1})
    signed_in.sandbox.expire()
    signed_in.numbers(20)
    signed_in.world.until(lambda: signed_in.session()["session"] == "refreshing", "the refresh hangs")
    signed_in.world.secret("key", "bearer-of-the-world")
    auth = "auth: {type: bearer, token: {secret: key}}"
    places = f"endpoints: {{unknown: {signed_in.sandbox.url}/nothing/here}}"
    signed_in.write("connections/free.yaml", f"connection: free\ntype: http\n{auth}\n{places}\n")
    text = (signed_in.world.config / f"jobs/{signed_in.name}.yaml").read_text()
    text = text.replace(f"job: {signed_in.name}", "job: free").replace(f"{signed_in.name}/*", "free/*")
    (signed_in.world.drop / "free").mkdir()
    (signed_in.world.drop / "free/1.csv").write_text("n\n1\n")
    signed_in.write(
        "jobs/free.yaml", text.replace(f"{signed_in.name}, endpoint: ingest", "free, endpoint: unknown")
    )
    signed_in.load()
    signed_in.until_waits("404", "free")
    assert signed_in.session()["session"] == "refreshing"
    signed_in.sandbox.no_faults()
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (1, 1)


def test_auth_60_a_connection_that_is_changed_in_the_middle_of_a_refresh_costs_no_second_one(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "hold": True, "times": 1})
    signed_in.sandbox.expire()
    signed_in.numbers(10)
    signed_in.world.until(lambda: signed_in.session()["session"] == "refreshing", "the refresh is under way")
    signed_in.connection(limits="{concurrency: 3}").load()
    signed_in.numbers(10)
    signed_in.sandbox.no_faults()
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (1, 1)
    assert signed_in.sandbox.state()["refresh_reuse"] == 0


def test_auth_12_an_answer_of_refresh_that_is_lost_after_rotating_costs_at_most_one_login(signed_in):
    signed_in.sandbox.faults({"on": "refresh", "drop": "after", "times": 1})
    signed_in.sandbox.expire()
    signed_in.numbers(20)
    signed_in.all_arrived()
    assert calls(signed_in.sandbox) == (2, 1)
    assert signed_in.sandbox.state()["refresh_reuse"] == 1  # the one replay that is allowed


@pytest.mark.timeout(150)  # on a busy machine a daemon takes seconds to start
def test_auth_28_29_a_wrong_password_in_a_restart_loop_keeps_the_limit_and_heals_at_once(scene):
    scene.world.secret("password", "not the password")
    scene.connection().records()
    scene.numbers(10)
    for _ in range(5):
        scene.world.start()
        scene.world.until(scene.waits, "the lane waits", 15)
        scene.world.kill()
    scene.world.start()
    scene.until_waits("the next one is allowed in")
    assert scene.session()["session"] == "blocked"
    assert scene.sandbox.state()["failed_logins"] == 3
    scene.world.secret("password", "password-of-the-world")
    scene.world.until(scene.arrived, "signed in with the new secret")
    scene.all_arrived()
    assert (scene.sandbox.state()["logins"], scene.sandbox.state()["failed_logins"]) == (1, 3)
