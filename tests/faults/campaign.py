"""Plays a history of faults: one life of the daemon after the other, each with a bad end.

All decisions come from seeded dice, so that a seed repeats the same steps; how far the daemon is when one of
them meets it, is up to the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import Verdict, judge
from tests.faults.lives import Life, Nursery
from tests.faults.points import DIED, POINTS, SPLITS, Point
from tests.faults.proxy import Proxy
from tests.faults.record import Death, History
from tests.faults.sources import JOBS, Sources
from tests.faults.target import CALM, Strike, Target, Weather
from tests.support.processes import unmeasured
from tests.support.world import ROOT, World

BACKLOG = 400  # records on their way; more are not put in
PATIENCE = 30.0  # seconds until a life that should end by itself is ended
WHOLE_STARTS = 0.2  # of the lives without a point: started as a service does, all others are forked
TRIES = 3  # more lives for a point that a slow machine has not reached in time
STRIKES = ("arrived", "half", "processed")


@dataclass(frozen=True, kw_only=True)
class Settings:
    kills: int
    seed: int
    folder: Path
    seconds: float | None = None
    """End then, whatever is left of the kills."""
    each_point: bool = True
    """Begin with every named crash point once."""
    settle: float = 240.0
    """Seconds in which all must have arrived when the faults are over."""
    disk: bool = False
    """The state lies on a small disk of its own, which may be filled to its end."""


@dataclass(kw_only=True)
class Outcome:
    settings: Settings
    verdict: Verdict
    history: History
    ends: Counter[str] = field(default_factory=Counter)
    """How lives ended → how often."""
    other: Counter[str] = field(default_factory=Counter)
    """What else was done → how often."""
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        return kills_of(self.ends)


def kills_of(ends: Counter[str]) -> int:
    return sum(count for how, count in ends.items() if not how.startswith(("SIGTERM", "exit")))


class Campaign:
    def __init__(self, settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.history = History()
        self.dice = random.Random(settings.seed)
        self.ends: Counter[str] = Counter()
        self.other: Counter[str] = Counter()
        self.violations: list[str] = []
        self._say = say
        self._world = World(settings.folder / "world", "http://127.0.0.1:9")
        self._log_size = 0
        self._full = False
        self._nursery = Nursery(self._world.log)
        self._process: Life

    # ------------------------------------------------------------------ all of it

    async def play(self) -> Outcome:
        began = time.monotonic()
        self._sources = Sources(self._world, self.history, random.Random(self.settings.seed + 1))
        self._proxy = Proxy(self.history, random.Random(self.settings.seed + 2))
        self._target = Target(self.history, random.Random(self.settings.seed + 3), self._proxy.life_of)
        dead = frozenset[str]()
        try:
            async with self._target, self._proxy, self._nursery:
                self._proxy.target_port = self._target.port
                self._sources.configure(self._proxy.url)
                await self._lives(began)
                dead = await self._settle()
        finally:
            self._sources.close()
            self._world.close()
        verdict = judge(self.history, dead)
        verdict.violations[:0] = self.violations
        self.history.save(self.settings.folder / "history")
        return Outcome(
            settings=self.settings,
            verdict=verdict,
            history=self.history,
            ends=self.ends,
            other=self.other,
            seconds=time.monotonic() - began,
        )

    async def _lives(self, began: float) -> None:
        points = list(POINTS) if self.settings.each_point else []
        self.dice.shuffle(points)
        kills, told, tries = 0, 0, Counter[Point]()
        while kills < self.settings.kills:
            if self.settings.seconds is not None and time.monotonic() - began > self.settings.seconds:
                break
            point = points.pop() if points else None
            if not await self._live(point) and point is not None and tries[point] < TRIES:
                tries[point] += 1
                points.insert(0, point)
            kills = kills_of(self.ends)
            if kills >= told + 25:
                told = kills
                rate = 60 * kills / (time.monotonic() - began)
                left = self._sources.outstanding(self._target.arrived)
                self._say(
                    f"{kills} kills ({rate:.0f} a minute), {len(self._target.arrived)} records, {left} on their way"
                )

    async def _live(self, point: Point | None) -> bool:
        """One life, from its start to its end; whether it ended where it should."""
        dice = self.dice
        full = self.settings.disk and point is None and dice.random() < 0.4  # then little is reached
        if point is None and not full and dice.random() < 0.4:
            point = dice.choice(POINTS)
        strike = dice.choice(STRIKES) if point is None and not full and dice.random() < 0.35 else ""
        if self.settings.disk:
            self._fill_disk(dice.choice(["0", "50000", "400000"]) if full else "")
        self._prepare(point, strike)
        passes = 1 if point is None or point.wants else dice.choice([1, 1, 2, 5, 12])
        await self._start(point, passes)
        if strike:
            self._target.strike = Strike(when=strike, requests=dice.choice([0, 1, 4, 10]), act=self._kill)
        there = True
        if point is not None or strike:
            there = await self._await_end(point.name if point else f"request {strike} at the target")
        else:
            await self._live_a_while()
        self._target.strike = None
        self._look_at_log()
        return there

    def _prepare(self, point: Point | None, strike: str) -> None:
        dice = self.dice
        self._target.weather, self._proxy.rate = self._new_weather()
        if self._sources.outstanding(self._target.arrived) < BACKLOG:
            for _ in range(dice.randint(1, 4)):
                self._sources.feed()
        elif self.history.life % 4 == 0:
            self._mend()  # three lives that died while collecting quarantine a job until its text changes
        wants = point.wants if point else ""
        if wants == "token" or dice.random() < 0.08:
            self._expire()
        if wants == "files":
            self._sources.feed_plans()
        if wants == "refusal":
            self._sources.feed_plates(bad=True)
        if wants == "batches":
            self._sources.feed_rows(bad=True)
        if strike == "half":
            self._sources.feed_plans(1_500_000)
        if self.history.life % 10 == 0:
            size = dice.choice(["10GB", "10GB", "4MB"])
            (self._world.config / "agent.yaml").write_text(
                f"web: {{listen: off}}\nspool: {{max_bytes: {size}}}\n"
            )
            self.other["spool limit changed"] += 1

    def _fill_disk(self, left: str) -> None:
        """So many bytes are left on it; "" for all that there were."""
        ballast = self._world.state / "ballast"
        ballast.unlink(missing_ok=True)
        self._full = bool(left)
        if not left:
            return
        self.history.step(f"the disk is full but for {left} bytes")
        self.other["disk filled"] += 1
        room = os.statvfs(self._world.state)
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(room.f_bavail * room.f_frsize - int(left), 1))

    def _expire(self) -> None:
        if self.dice.random() < 0.25:
            self._target.revoke()
            self.history.step("all tokens are revoked")
            self.other["tokens revoked"] += 1
        else:
            self._target.expire()
            self.history.step("access tokens end")
            self.other["access tokens ended early"] += 1

    def _new_weather(self) -> tuple[Weather, float]:
        if self.dice.random() < 0.3:
            return CALM, 0.0
        rates = [self.dice.choice([0.0, 0.0, 0.02, 0.05]) for _ in range(4)]
        weather = Weather(
            busy=rates[0],
            slow_down=rates[1],
            fails_after=rates[2],
            drops_after=rates[3],
            delay=self.dice.choice([0.0, 0.0, 0.02]),
        )
        return weather, self.dice.choice([0.0, 0.01, 0.03])

    # ------------------------------------------------------------------ lives

    async def _start(self, point: Point | None, passes: int) -> None:
        self.history.life += 1
        wanted = f"{point.name} (pass {passes})" if point else "any moment"
        self.history.step(f"started, to end at {wanted}; {self._target.weather}, proxy {self._proxy.rate}")
        arguments = ["run", "--config", str(self._world.config), "--state", str(self._world.state)]
        self._log_size = self._world.log.stat().st_size if self._world.log.exists() else 0
        if point is None and self.dice.random() < WHOLE_STARTS:
            self._process = await self._nursery.start(arguments)
        else:
            self._process = await self._nursery.bear(arguments, point, passes)

    async def _await_end(self, how: str) -> bool:
        """Until it died where it should, or for long enough; reloads and data go on meanwhile."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        ended = asyncio.create_task(self._process.wait())
        turn = 0
        while not ended.done() and loop.time() < end:
            await asyncio.wait({ended}, timeout=0.25)
            turn += 1
            if turn % 4 == 0 and not ended.done():
                self._go_on(turn)
        if ended.done():
            self._ended(how)
            return True
        self.history.step(f"{how} was not reached")
        self.other["points not reached"] += 1
        self._kill()
        await ended
        self._ended("SIGKILL at random")
        return False

    def _go_on(self, turn: int) -> None:
        """What a point may wait for."""
        if turn % 8 == 0 and self._sources.outstanding(self._target.arrived) < BACKLOG:
            self._sources.feed_all()
        if turn % 24 == 0:
            self._target.weather, self._proxy.rate = CALM, 0.0
            self._sources.feed_plates(bad=True)
            self._sources.feed_rows(bad=SPLITS)
            self._mend()
            self._target.expire()

    async def _live_a_while(self) -> None:
        """Until a moment by chance: in the start, or with deeds in between."""
        dice = self.dice
        if dice.random() < 0.2:
            await self._doze(dice.random() * 1.2)
        else:
            await self._until_ready()
            for _ in range(dice.randint(1, 3)):
                await self._deed()
                await self._watch(dice.randint(0, 25))
        if dice.random() < 0.12:
            await self._terminate()
        else:
            self._kill()
            await self._process.wait()
            self._ended("SIGKILL at random")

    async def _doze(self, seconds: float) -> None:
        if self._process.returncode is None:
            await asyncio.sleep(seconds)

    async def _watch(self, requests: int) -> None:
        """Until so many more requests came; a second at most."""
        loop = asyncio.get_running_loop()
        end, wanted = loop.time() + 1.0, len(self.history.rows) + requests
        while self._process.returncode is None and loop.time() < end and len(self.history.rows) < wanted:
            await self._target.heard(end - loop.time())

    async def _until_ready(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while self._process.returncode is None and loop.time() < end:
            if b'"ready"' in self._logged() or b" ready" in self._logged():
                return
            await asyncio.sleep(0.03)

    def _logged(self) -> bytes:
        """Of this life."""
        with self._world.log.open("rb") as log:
            log.seek(self._log_size)
            return log.read()

    async def _deed(self) -> None:
        dice = self.dice
        if self._process.returncode is not None:
            return
        deed = dice.choice(["feed", "feed", "reload", "freeze", "hang up", "weather"])
        self.other[deed] += 1
        self.history.step(deed)
        match deed:
            case "feed" if self._sources.outstanding(self._target.arrived) < BACKLOG:
                self._sources.feed()
            case "reload":
                self._sources.change(dice.choice(list(JOBS)))
                self._signal(signal.SIGHUP)
            case "freeze":
                self._signal(signal.SIGSTOP)
                await asyncio.sleep(dice.random() * 0.3)
                self._signal(signal.SIGCONT)
            case "hang up":
                self._signal(signal.SIGHUP)
            case "weather":
                self._target.weather, self._proxy.rate = self._new_weather()

    def _mend(self) -> None:
        """A person changes the jobs, which ends a quarantine."""
        for name in JOBS:
            self._sources.change(name)

    # ------------------------------------------------------------------ ends

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            self._process.send_signal(number)

    def _kill(self) -> None:
        self._signal(signal.SIGKILL)

    async def _terminate(self) -> None:
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), 60)
        except TimeoutError:
            self.violations.append(f"life {self.history.life} did not end after SIGTERM")
            self._kill()
            await self._process.wait()
        self._ended("SIGTERM")

    def _ended(self, how: str) -> None:
        code = self._process.returncode
        assert code is not None
        if code == os.EX_TEMPFAIL and self._full:
            how = "exit 75, the disk is full"  # the service would start it again and again
        good = {"SIGTERM": 0, "exit 75, the disk is full": 75}.get(how, -signal.SIGKILL)
        if code != good:
            self.violations.append(f"life {self.history.life} ended with {code} instead of by {how}")
        self.ends[how] += 1
        self.history.step(f"ended: {how}")
        self.history.deaths.append(
            Death(tick=self.history.tick(), life=self.history.life, how=how, code=code)
        )

    def _look_at_log(self) -> None:
        self.other["collecting waited for room"] += self._logged().count(b"the spool is full")
        self._look_for_bugs()

    def _look_for_bugs(self) -> None:
        """A traceback is a bug, whatever is delivered in spite of it."""
        if b"Traceback (most recent call last)" in self._logged():
            self.violations.append(f"life {self.history.life} logged a traceback: {self._world.log}")

    # ------------------------------------------------------------------ the end of it all

    async def _settle(self) -> frozenset[str]:
        """The faults are over: everything arrives, files are put aside. The keys of the dead letters."""
        self._target.weather, self._proxy.rate = CALM, 0.0
        (self._world.config / "agent.yaml").write_text("web: {listen: off}\n")
        if self.settings.disk:
            self._fill_disk("")
        self._sources.finish_log()
        self._mend()
        await self._start(None, 0)
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.settle
        while self._process.returncode is None and loop.time() < end:
            if self._sources.outstanding(self._target.arrived) <= 0 and not self._sources.left_in_folders():
                break
            await asyncio.sleep(0.1)
        if left := self._sources.left_in_folders():
            self.violations.append(f"{len(left)} files were not put aside: {', '.join(left[:5])}")
        dead = await self._dead_keys()
        await self._terminate()
        self._look_at_log()
        self.ends["SIGTERM"] -= 1  # not one of the faults
        return dead

    async def _dead_keys(self) -> frozenset[str]:
        """As a person would ask for them; those of refused requests alone."""
        command = [sys.executable, "-m", "agent", "dead", "list", "--output", "json", "--limit", "1000000"]
        process = await asyncio.create_subprocess_exec(
            *(*command, "--config", str(self._world.config), "--state", str(self._world.state)),
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env=unmeasured(),
        )
        said, _ = await process.communicate()
        return frozenset(letter["key"] for letter in json.loads(said))


def died_at(log: bytes) -> list[str]:
    """The points that lives ended at, as the daemon's log has it."""
    return [
        line.removeprefix(DIED).strip()
        for line in log.decode(errors="replace").splitlines()
        if line.startswith(DIED)
    ]
