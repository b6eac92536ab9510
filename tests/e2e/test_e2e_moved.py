"""A connection whose sign-in is changed while the daemon runs: nothing of the old one reaches the new one."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from tests.support.certificates import Authority
from tests.support.origin import Origin


@contextmanager
def origins(*named, **tls):
    made = [Origin(name, tls=tls.get(name)) for name in named]
    try:
        yield made
    finally:
        for one in made:
            one.close()


def change(stage, **words):
    """Rewrite the connection's file: each word by another."""
    place = f"connections/{stage.name}.yaml"
    text = (stage.world.config / place).read_text()
    for old, new in words.items():
        assert old in text
        text = text.replace(old, new)
    stage.write(place, text)


def numbers_at(origin):
    return [one.body for one in origin.data]


def test_auth_60_another_auth_url_never_gets_an_old_token_and_the_old_session_ends_with_its_drain(stage):
    with origins("old", "new") as (old, new):
        stage.connection(url=old.url, auth=old.url).records().load()
        stage.numbers(1)
        stage.world.until(lambda: len(old.data) == 1, "the old origin has the first record")
        old.hold()
        stage.numbers(1)
        stage.world.until(lambda: len(old.data) == 2, "a request to the old origin is under way")
        stage.connection(url=new.url, auth=new.url).load()
        stage.numbers(1)
        assert old.open >= 1
        assert new.heard == []  # in order: what is under way comes first
        old.release()
        stage.world.until(lambda: len(new.data) == 1, "the new origin has the third record")
        stage.world.until(lambda: old.open == 0, "nothing is connected to the old origin any more")
        assert numbers_at(old) + numbers_at(new) == ['[{"n":"0"}]', '[{"n":"1"}]', '[{"n":"2"}]']
        assert (len(old.of("/auth/password")), len(old.of("/auth/refresh"))) == (1, 0)
        assert (len(new.of("/auth/password")), len(new.of("/auth/refresh"))) == (1, 0)
        assert not [one for one in new.heard if "old-" in one.text]
        assert not [one for one in old.heard if "new-" in one.text]
        new.good.clear()  # its token dies: the refresh goes to the new origin, with the new token
        stage.numbers(1)
        stage.world.until(lambda: len(new.data) == 1, "signed in again")
        assert [one.body for one in new.of("/auth/refresh")] == ["refresh_token=new-demo-refresh-1"]
        assert len(old.heard) == 3


def test_auth_60_another_user_never_gets_the_tokens_of_the_old_one(stage):
    with origins("one") as (one,):
        stage.world.secret("second", "second")
        stage.connection(url=one.url, auth=one.url).records().load()
        stage.numbers(1)
        stage.world.until(lambda: len(one.data) == 1, "delivered as the first user")
        change(stage, **{"{secret: user}": "{secret: second}"})
        stage.load()
        before = len(one.heard)
        stage.numbers(1)
        stage.world.until(lambda: len(one.data) == 2, "delivered as the second user")
        assert [one.bearer for one in one.heard[before:]] == ["", "one-second-access-2"]
        assert "username=second" in one.of("/auth/password")[-1].body
        assert one.of("/auth/refresh") == []
        assert "demo" not in "".join(heard.text for heard in one.heard[before:])


@pytest.mark.parametrize("moment", ["idle", "under way"])
def test_auth_60_other_tls_settings_count_at_once_and_keep_the_pair(stage, tmp_path, moment):
    good, bad = Authority(tmp_path, "good"), Authority(tmp_path, "bad")
    with origins("one", one=good.server("server")) as (one,):
        stage.connection(url=one.url, auth=one.url).records()
        change(stage, **{"type: http": f"type: http\ntls: {{ca: {good.path}}}"})
        stage.load()
        stage.numbers(1)
        stage.world.until(lambda: len(one.data) == 1, "delivered")
        if moment == "under way":
            one.hold()
            stage.numbers(1)
            stage.world.until(lambda: len(one.data) == 2, "a request is under way")
        change(stage, **{str(good.path): str(bad.path)})
        stage.load()
        one.release()
        before = len(one.heard)
        stage.numbers(1)
        stage.until_waits("certificate")
        assert len(one.heard) == before  # no connection of before was used again
        change(stage, **{str(bad.path): str(good.path)})
        stage.load()
        stage.world.until(lambda: len(one.data) == before, "delivered again")
        assert (len(one.of("/auth/password")), len(one.of("/auth/refresh"))) == (1, 0)
        assert sorted(set(numbers_at(one))) == numbers_at(one)
