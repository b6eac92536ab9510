"""The short campaign: every named crash point once, and kills at moments by chance.

`python -m tests.faults` plays the long one. What is wrong here is played again by its seed.
"""

from __future__ import annotations

import pytest

from tests.faults.campaign import Campaign, Settings, died_at
from tests.faults.points import POINTS, place_of

SEED = 5
BY_CHANCE = 6


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_named_crash_point_is_there(point):
    holder, name = place_of(point)
    assert callable(getattr(holder, name))


@pytest.mark.timeout(400)
async def test_del_04_05_09_killed_at_every_point_and_by_chance_nothing_is_lost_or_out_of_order(tmp_path):
    settings = Settings(kills=len(POINTS) + BY_CHANCE, seed=SEED, folder=tmp_path, settle=120.0)
    outcome = await Campaign(settings).play()
    told = [f"seed {SEED}, kept in {tmp_path}", *outcome.history.steps[-20:]]
    assert outcome.verdict.violations == [], "\n".join(told)
    assert outcome.kills >= settings.kills
    reached = died_at((tmp_path / "world/log").read_bytes())
    assert {point.name for point in POINTS} - set(reached) == set()
    assert outcome.verdict.records > 300
    assert outcome.verdict.dead_letters > 0
    assert outcome.verdict.refreshes > 0
