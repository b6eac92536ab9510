"""What a person may ask of a session that starts from a seed."""

from __future__ import annotations

import pytest

from agent.errors import NotSignedIn


@pytest.fixture
def seeded(oauth):
    oauth.secret("seed", oauth.endpoint.seed("seed-one"))
    oauth.refresh_token()
    return oauth


async def test_a_login_by_hand_sends_a_new_seed_and_never_a_spent_one(seeded):
    session = seeded.start()
    await session.sign()
    with pytest.raises(NotSignedIn, match="the refresh token in the secret is used up"):
        await session.login()
    assert (await session.sign()).generation == 1
    seeded.secret("seed", seeded.endpoint.seed("seed-two"))
    await session.login()
    assert seeded.endpoint.shown == ["seed-one", "seed-two"]
    assert (await session.sign()).generation == 2


async def test_a_dead_seed_sent_by_hand_leaves_the_good_pair_alone(seeded):
    session = seeded.start()
    await session.sign()
    seeded.secret("seed", "seed-of-nobody")
    with pytest.raises(NotSignedIn, match="is used up, or was refused"):
        await session.login()
    assert (await session.sign()).generation == 1
    await session.refresh()
    assert seeded.endpoint.shown == ["seed-one", "seed-of-nobody", "refresh-1-rrrrrrrrrrrr"]
    assert (await seeded.row()).sealed is not None
