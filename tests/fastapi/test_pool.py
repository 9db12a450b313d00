"""A small pool of database connections serves many handlers that wait: none is held meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import Engine, QueuePool, create_engine, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import AsyncAdaptedQueuePool, Pool

from durably import Context, ManualClock, SyncContext
from durably.hosting.options import HostingOptions
from durably_fastapi import Durably, Edge, Step

SIZE = 5
INVOCATIONS = 200
NAP = timedelta(hours=3)


class Meter:
    """Counts at a pool."""

    def __init__(self, pool: Pool) -> None:
        """Listen to `pool`."""
        self.now = 0
        self.most = 0
        self.total = 0
        event.listen(pool, "checkout", self._out)
        event.listen(pool, "checkin", self._in)

    def _out(self, *_: object) -> None:
        self.now += 1
        self.total += 1
        self.most = max(self.most, self.now)

    def _in(self, *_: object) -> None:
        self.now -= 1


async def play(app: FastAPI, durably: Durably, clock: ManualClock, meter: Meter, asleep: list[int]) -> None:
    """Call the endpoint often enough, look at the pool while all handlers sleep, and let three hours pass."""
    async with durably.lifespan():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
            calls = [asyncio.create_task(client.post(f"/orders/{number}")) for number in range(INVOCATIONS)]
            async with asyncio.timeout(30):
                while len(asleep) < INVOCATIONS or meter.now:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert meter.now == 0
            assert not any(call.done() for call in calls)
            clock.advance(NAP + timedelta(minutes=5))  # handlers ask for a time of day, and theirs has gone on
            answers = await asyncio.gather(*calls)
    assert [answer.json() for answer in answers] == list(range(INVOCATIONS))
    assert meter.now == 0
    assert meter.most <= SIZE
    assert meter.total >= 3 * INVOCATIONS  # at the edge, before the nap, after it
    print(f"{INVOCATIONS} invocations, a pool of {SIZE}: {meter.total} checkouts, at most {meter.most} at once")


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Give a database file of the application's."""
    path = str(tmp_path / "shop.db")
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode = WAL"))
        connection.execute(text("CREATE TABLE marks (number INTEGER, mark TEXT)"))
    engine.dispose()
    return path


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that stands still."""
    return ManualClock(time.time_ns() // 1_000_000)


def pooled(file: str) -> Engine:
    """Give an engine with a small pool; who waits long for a connection fails."""
    return create_engine(
        f"sqlite:///{file}",
        poolclass=QueuePool,
        pool_size=SIZE,
        max_overflow=0,
        pool_timeout=20,
        connect_args={"check_same_thread": False, "timeout": 20},
    )


async def test_blocking_sessions(file: str, clock: ManualClock):
    """`def` handlers with a session for each step, and a caller who is looked up once, before the wait."""
    engine = pooled(file)
    meter = Meter(engine.pool)
    asleep: list[int] = []
    app = FastAPI()
    durably = Durably(app, url="memory://", clock=clock, hosting=HostingOptions(threads=INVOCATIONS))

    def get_db() -> Iterator[Session]:
        with Session(engine) as session:
            yield session
            session.commit()

    def caller(db: Annotated[Session, Depends(get_db)]) -> str:
        return str(db.scalar(text("SELECT 'ada'")))

    @app.post("/orders/{number}")
    @durably.endpoint
    def order(
        number: int,
        who: Annotated[str, Depends(caller), Edge],
        db: Annotated[Session, Depends(get_db), Step],
        ctx: SyncContext,
    ) -> int:
        def mark(word: str) -> None:
            db.execute(text("INSERT INTO marks VALUES (:number, :mark)"), {"number": number, "mark": f"{who} {word}"})

        ctx.run_typed("before", mark, word="before")
        asleep.append(number)
        ctx.sleep(NAP)
        ctx.run_typed("after", mark, word="after")
        return number

    await play(app, durably, clock, meter, asleep)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT mark, count(*) FROM marks GROUP BY mark")).fetchall()
    assert sorted(map(tuple, found)) == [("ada after", INVOCATIONS), ("ada before", INVOCATIONS)]
    engine.dispose()


async def test_asynchronous_sessions(file: str, clock: ManualClock):
    """`async def` handlers, with a session that a step function asks for itself."""
    engine: AsyncEngine = create_async_engine(
        f"sqlite+aiosqlite:///{file}",
        poolclass=AsyncAdaptedQueuePool,
        pool_size=SIZE,
        max_overflow=0,
        pool_timeout=20,
        connect_args={"timeout": 20},
    )
    meter = Meter(engine.sync_engine.pool)
    asleep: list[int] = []
    app = FastAPI()
    durably = Durably(app, url="memory://", clock=clock)

    async def get_db() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session
            await session.commit()

    async def caller(db: Annotated[AsyncSession, Depends(get_db)]) -> str:
        return str(await db.scalar(text("SELECT 'ada'")))

    async def mark(number: int, word: str, db: Annotated[AsyncSession, Depends(get_db)]) -> None:
        await db.execute(text("INSERT INTO marks VALUES (:number, :mark)"), {"number": number, "mark": word})

    @app.post("/orders/{number}")
    @durably.endpoint
    async def order(number: int, who: Annotated[str, Depends(caller), Edge], ctx: Context) -> int:
        await ctx.run_typed("before", mark, number=number, word=f"{who} before")
        asleep.append(number)
        await ctx.sleep(NAP)
        await ctx.run_typed("after", mark, number=number, word=f"{who} after")
        return number

    await play(app, durably, clock, meter, asleep)
    async with engine.connect() as connection:
        found = (await connection.execute(text("SELECT mark, count(*) FROM marks GROUP BY mark"))).fetchall()
    assert sorted(map(tuple, found)) == [("ada after", INVOCATIONS), ("ada before", INVOCATIONS)]
    await engine.dispose()
