"""Histories of the agent in simulated time: lanes, lives, faults; and what must hold after each step.

    play(history_of(4711))      # the words of what went wrong; [] when all is well
    shrink(history)             # a shorter history that goes wrong too

A history is a setting and a list of steps, made from one seed. What lives in between is the real session over the
real statements of the store; only the network, the disk's moods and the time are the test's.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from sqlalchemy.schema import CreateTable

from agent.auth import open_session
from agent.auth.pause import Pause
from agent.auth.token import unpack
from agent.auth.vault import Vault
from agent.config.model import Connection, PasswordAuth, SecretRef, Where
from agent.errors import NotSignedIn, StateError
from agent.session_row import SessionRow
from agent.spool import memory as statements
from agent.spool.database import _DIALECT, Database
from agent.spool.tables import sessions
from tests.support.rotation import Judge, Server, Wire
from tests.support.virtual import Life, VirtualClock, simulated

HERE = Where(file="connections/p.yaml", line=1, column=1, path="")
AUTH = PasswordAuth(
    url="https://auth.test/api",
    username="fleet",
    password=SecretRef(kind="secret", name="password", where=HERE),
)
VAULT = Vault(b"a key for histories")
OTHER_VAULT = Vault(b"another key for histories")
HANGS = 240.0
"""Seconds: three calls with their deadlines, a slow store in between, and a second session in front."""
PATIENCE = 2_400.0
"""Seconds in which everybody must have delivered once nothing is wrong any more: the pause after refused logins
(900 s), the longest pause after failures (300 s), the longest doubt (300 s), one after the other."""


class Secrets:
    def resolve(self, ref):
        return self

    def reveal(self):
        return "correct horse battery"


def pair_of(row):
    return unpack(VAULT.open(row.sealed, row.connection), row.generation)


class Disk:
    """What survives. The statements are the agent's own."""

    def __init__(self, judge):
        self.judge = judge
        self.mood = "ok"
        raw = sqlite3.connect(":memory:", isolation_level=None)
        raw.execute(str(CreateTable(sessions).compile(dialect=_DIALECT)))
        self.db = Database(raw)

    def read(self, name):
        return statements.session(self.db, name)

    def write(self, row):
        statements.store_session(self.db, row)
        if row.sealed is not None and self.read(row.connection) == row:
            self.judge.stored(pair_of(row))

    def damage(self):
        row = self.read("p")
        if row is not None and row.sealed is not None:
            values = {**asdict(row), "sealed": OTHER_VAULT.seal(b"{}", "p")}
            statements.store_session(self.db, SessionRow(**values))
            self.judge.unreadable = True


class Handle:
    """One life's handle on the disk. `fatal` = (writes to go, before or after it)."""

    def __init__(self, life, disk):
        self.life = life
        self.disk = disk
        self.fatal = None

    async def session(self, name):
        await self.life.alive()
        await asyncio.sleep(0.001)
        await self.life.alive()
        if self.disk.mood == "unreadable":
            raise StateError("disk I/O error")
        return self.disk.read(name)

    async def store_session(self, row):
        await self.life.alive()
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        # Cancelling the wait does not stop the work; death does.
        loop.call_later(7.0 if self.disk.mood == "slow" else 0.002, self._write, row, done)
        await done
        await self.life.alive()

    def _write(self, row, done):
        when = self._fate()
        if when == "before":
            self.life.die()
        if self.life.dead.is_set():
            return
        error = None
        if row.refreshing is not None and row.sealed is not None:
            self.disk.judge.intent(pair_of(row), durable=self.disk.mood != "full")
        if self.disk.mood == "full":
            self.disk.judge.store_failed = True
            if row.sealed is not None:
                self.disk.judge.not_stored(pair_of(row))
            error = StateError("database or disk is full")
        else:
            self.disk.write(row)
        if when == "after":
            self.life.die()
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def _fate(self):
        if self.fatal is None:
            return ""
        left, when = self.fatal
        self.fatal = None if left == 0 else (left - 1, when)
        return when if left == 0 else ""


@dataclass(kw_only=True)
class History:
    seed: int
    lanes: int
    lifetime: float
    grace: float
    detects: bool
    steps: list = field(default_factory=list)


class Platform:
    """The world around the lives: what waits, what arrived, who lives."""

    def __init__(self, history, loop):
        self.history = history
        self.random = random.Random(history.seed)
        self.clock = VirtualClock(loop)
        self.judge = Judge(self.clock)
        self.server = Server(
            clock=self.clock, lifetime=history.lifetime, grace=history.grace, detects=history.detects
        )
        self.disk = Disk(self.judge)
        self.waiting = [deque() for _ in range(history.lanes)]
        self.arrived = [[] for _ in range(history.lanes)]
        self.put = 0
        self.news = asyncio.Event()
        self.plans = {"refresh": deque(), "login": deque()}
        self.refuse = 0
        """So many of the next requests get a 401, whatever their token is worth."""
        self.lives = []
        self.inside = {}
        """(life, lane) → since when it is in the hands of the session."""
        self.undertaker = None

    # ------------------------------------------------------------------ lives

    def begin(self):
        life = Life(len(self.lives))
        self.lives.append(life)
        life.handle = Handle(life, self.disk)
        life.sessions = [self.open_session(life)]
        life.lanes = [life.start(self._lane(life, lane)) for lane in range(self.history.lanes)]
        self.undertaker = asyncio.get_running_loop().create_task(self.outlive(life))

    def open_session(self, life):
        wire = Wire(life, self.server, self.judge, plan=self.plan, random=self.random)
        connection = Connection(name="p", auth=AUTH, where=HERE)
        session = open_session(connection, Secrets(), life.handle, VAULT, self.clock, wire)
        session._flights._pause = Pause(self.random.random)
        return session, wire

    def second(self, life):
        """As when a changed connection is opened beside the old one: half of the lanes use it at once."""
        if len(life.sessions) == 1:
            life.sessions.append(self.open_session(life))

    async def outlive(self, life):
        await life.dead.wait()
        await life.bury()
        self.buried(life)
        await asyncio.sleep(0.5)
        self.begin()

    def buried(self, life):
        for key in [key for key in self.inside if key[0] is life]:
            del self.inside[key]

    @property
    def life(self):
        return self.lives[-1]

    async def stop(self):
        """SIGTERM: sessions close in order, then the next life begins. It may die while it closes."""
        life = self.life
        if life.dead.is_set():
            return
        for session, wire in life.sessions:
            wire.closed = True
            closing = life.start(session.close())
            death = asyncio.ensure_future(life.dead.wait())
            await asyncio.wait({closing, death}, return_when=asyncio.FIRST_COMPLETED)
            death.cancel()
        life.die()

    def plan(self, kind):
        return self.plans[kind].popleft() if self.plans[kind] else "ok"

    # ------------------------------------------------------------------ lanes

    async def _lane(self, life, lane):
        while True:
            while self.head(lane) is None:
                news = self.news
                await news.wait()
            session, _ = life.sessions[lane % len(life.sessions)]
            try:
                await self._deliver(life, lane, session)
            except NotSignedIn as error:
                await self._rest(session, 5.0 if error.retry_after is None else max(error.retry_after, 0.1))

    def head(self, lane):
        """The oldest message of the lane, as a number that grows."""
        return self.waiting[lane][0] if self.waiting[lane] else None

    def ack(self, lane):
        self.waiting[lane].popleft()

    async def _deliver(self, life, lane, session):
        signed = await self._timed(life, lane, session.sign())
        access = signed.headers["Authorization"].removeprefix("Bearer ")
        if await self._post(life, lane, self.head(lane), access):
            self.ack(lane)
        else:
            await self._timed(life, lane, session.rejected(signed.generation))

    async def _timed(self, life, lane, asking):
        self.inside[life, lane] = self.clock.monotonic()
        try:
            return await asking
        finally:
            self.inside.pop((life, lane), None)

    async def _post(self, life, lane, number, access):
        await life.alive()
        self.judge.used(access)
        refused = not self.server.takes(access) or self.refuses()
        if not refused and number not in self.arrived[lane]:
            if self.arrived[lane] and self.arrived[lane][-1] > number:
                self.judge.say(f"lane {lane}: {number} arrived after {self.arrived[lane][-1]}")
            self.arrived[lane].append(number)
        await asyncio.sleep(self.random.choice([0.01, 0.05, 3.0]))
        await life.alive()
        return not refused

    def refuses(self):
        """An early 401: the token is good, and is refused."""
        self.refuse, before = max(self.refuse - 1, 0), self.refuse
        return before > 0

    async def _rest(self, session, seconds):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await session.changed()

    def work(self, each):
        for queue in self.waiting:
            for _ in range(each):
                self.put += 1
                queue.append(self.put)
        self.news, news = asyncio.Event(), self.news
        news.set()

    def cancel_lanes(self, count):
        life = self.life
        if life.dead.is_set():
            return
        for lane in self.random.sample(range(len(life.lanes)), min(count, len(life.lanes))):
            life.lanes[lane].cancel()
            life.lanes[lane] = life.start(self._lane(life, lane))

    # ------------------------------------------------------------------ what must hold

    def look(self):
        now = self.clock.monotonic()
        for (life, lane), since in self.inside.items():
            if not life.dead.is_set() and now - since > HANGS:
                self.judge.say(f"lane {lane} hangs in the session for {now - since:.0f} s")
        for task in (self.undertaker, *self.life.lanes):
            if task.done() and not task.cancelled():
                self.judge.say(f"a task ended: {task.exception()!r}")

    def count(self):
        arrived = sum(len(lane) for lane in self.arrived)
        waiting = {number for queue in self.waiting for number in queue}
        gone = self.put - len(waiting | {number for lane in self.arrived for number in lane})
        if gone:
            self.judge.say(f"{gone} messages are lost")
        return arrived

    async def heal(self):
        """Nothing is wrong any more: everybody delivers, within the pauses that were announced."""
        self.refuse = 0
        for plan in self.plans.values():
            plan.clear()
        self.life.handle.fatal = None
        self.disk.mood, self.server.judges_login = "ok", True
        self.work(1)
        end = self.clock.monotonic() + PATIENCE
        while self.count() < self.put and self.clock.monotonic() < end:
            await asyncio.sleep(5.0)
            self.look()
        late = [
            lane for lane, queue in enumerate(self.waiting) if len(self.arrived[lane]) < self.put and queue
        ]
        if self.count() < self.put:
            self.judge.say(f"lanes {late} wait though they could be signed in")
        await asyncio.sleep(40.0)  # what was under way for long has arrived
        before = dict(self.server.processed)
        due = self.judge.newest not in self.server.living
        await asyncio.sleep(self.history.lifetime * 2)
        refreshes = self.server.processed["refresh"] - before["refresh"]
        if self.server.processed["login"] > before["login"] + due or refreshes > 8:
            self.judge.say(f"no peace after all is well: {before} → {self.server.processed}")


# ---------------------------------------------------------------------- steps

REFRESH = ["ok", "no rt", "late", "lost", "cut", "damaged", "too late", "arrives late"]
REFRESH += ["unheard", "cut before", "503", "429", "400", "200", "die unsent", "die heard"]
LOGIN = ["ok", "late", "lost", "cut", "unheard", "503", "die unsent", "die heard"]


def history_of(seed):
    r = random.Random(seed)
    history = History(
        seed=seed,
        lanes=r.choice([1, 2, 2, 3, 3, 4, 8, 8, 16, 64]),
        lifetime=r.choice([60.0, 120.0, 120.0, 300.0]),
        grace=r.choice([0.0, 0.0, 30.0]),
        detects=r.random() < 0.3,
    )
    makers = [
        (8, lambda: ("run", r.choice([0.004, 0.05, 0.4, 3.0, 26.0, 61.0, 130.0]))),
        (4, lambda: ("work", r.choice([1, 1, 2]))),
        (4, lambda: ("refresh ends", [r.choice(REFRESH) for _ in range(r.randint(1, 3))])),
        (1, lambda: ("login ends", [r.choice(LOGIN) for _ in range(r.randint(1, 2))])),
        (3, lambda: ("access dies",)),
        (1, lambda: ("refresh dies",)),
        (2, lambda: ("early 401", r.choice([1, 1, 2, 5]))),
        (2, lambda: ("kill",)),
        (2, lambda: ("kill at write", r.randint(0, 3), r.choice(["before", "after"]))),
        (2, lambda: ("stop",)),
        (2, lambda: ("cancel", r.choice([1, 3, 64]))),
        (1, lambda: ("wall", r.choice([-7200, -90, -5, 5, 90, 7200]))),
        (1, lambda: ("suspend", r.choice([10, 100, 7200]))),
        (1, lambda: ("disk", r.choice(["full", "slow", "unreadable"]))),
        (1, lambda: ("disk", "ok")),
        (1, lambda: ("password", r.random() < 0.6)),
        (0.5, lambda: ("damage",)),
        (0.5, lambda: ("second session",)),
    ]
    weights = [weight for weight, _ in makers]
    chosen = r.choices(makers, weights, k=r.randint(4, 16))
    history.steps = [("work", 1), *(make() for _, make in chosen)]
    return history


async def _play(history):
    loop = asyncio.get_running_loop()
    platform = Platform(history, loop)
    platform.begin()
    try:
        for step in history.steps:
            await _step(platform, *step)
            platform.look()
            platform.count()
            if platform.judge.wrong:
                return platform
        await platform.heal()
        return platform
    finally:
        platform.undertaker.cancel()
        platform.life.die()
        await platform.life.bury()
        platform.disk.db.raw.close()


async def _step(platform, what, *value):  # noqa: C901, PLR0912 - one case a step
    match what:
        case "run":
            await asyncio.sleep(value[0])
        case "work":
            platform.work(value[0])
        case "refresh ends" | "login ends":
            platform.plans[what.split()[0]] = deque(value[0])
        case "access dies":
            platform.server.kill_access()
            platform.work(1)
        case "refresh dies":
            platform.server.kill_refresh()
        case "early 401":
            platform.refuse = value[0]
            platform.work(1)
        case "kill":
            platform.life.die()
        case "kill at write":
            platform.life.handle.fatal = value
        case "stop":
            await platform.stop()
        case "cancel":
            platform.cancel_lanes(value[0])
        case "wall":
            platform.clock.step_wall(value[0])
            platform.judge.clock_was_set = True
        case "suspend":
            platform.clock.suspend(value[0])
        case "disk":
            platform.disk.mood = value[0]
        case "password":
            platform.server.judges_login = value[0]
        case "damage":
            platform.life.die()
            platform.disk.damage()
        case "second session":
            platform.second(platform.life)


@dataclass(kw_only=True)
class Played:
    wrong: list
    logins: int
    refreshes: int
    arrived: int
    lives: int
    seconds: float


def play(history):
    """What happened. Says nothing into logs."""
    logging.disable(logging.CRITICAL)
    try:
        with simulated() as runner:
            platform = runner.run(_play(history))
            return Played(
                wrong=platform.judge.wrong,
                logins=platform.server.processed["login"],
                refreshes=platform.server.processed["refresh"],
                arrived=sum(len(lane) for lane in platform.arrived),
                lives=len(platform.lives),
                seconds=platform.clock.boottime() - 1_000.0,
            )
    finally:
        logging.disable(logging.NOTSET)


def shrink(history, goes_wrong=lambda history: bool(play(history).wrong)):
    """Leave out steps as long as it still goes wrong."""
    steps, size = list(history.steps), max(len(history.steps) // 2, 1)

    def of(some):
        return History(**{**history.__dict__, "steps": some})

    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if goes_wrong(of(fewer)):
                steps = fewer
            else:
                at += size
        size //= 2
    return of(steps)
