"""The daemon ends in the middle of a refresh: by SIGKILL, or by a stop that cannot wait for the answer."""

from __future__ import annotations

import pytest

from tests.support.origin import Origin


@pytest.fixture
def origin():
    one = Origin("one")
    yield one
    one.close()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_auth_08_09_10_an_end_in_mid_refresh_costs_one_more_try_and_at_most_one_login(
    scene, origin, when, end
):
    scene.connection(url=origin.url, auth=origin.url).records()
    scene.numbers(1)
    scene.world.start()
    scene.world.until(lambda: len(origin.data) == 1, "signed in and delivered")
    delivered = origin.data
    origin.good.clear()
    origin.hold_refresh(when)
    scene.numbers(1)
    scene.world.until(lambda: len(origin.of("/auth/refresh")) == 1, "a refresh is under way")
    if end == "kill":
        scene.world.kill()
    else:
        scene.world.stop()
    origin.release()
    origin.good.clear()  # a pair that nobody heard of is of no use to anybody
    scene.numbers(1)
    scene.world.start()
    scene.world.until(lambda: len(origin.data) == 2, "all is delivered")
    assert [one.body for one in delivered + origin.data] == [f'[{{"n":"{n}"}}]' for n in range(3)]
    assert [one.body for one in origin.of("/auth/refresh")] == ["refresh_token=one-demo-refresh-1"] * 2
    assert len(origin.of("/auth/password")) == (1 if when == "before" else 2)
