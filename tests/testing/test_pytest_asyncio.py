"""The pytest plugin beside pytest-asyncio, in both of its modes, as a user runs it."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

PRELUDE = """
import random
from datetime import timedelta

import durably
import pytest
import pytest_asyncio

service = durably.Service("Tested")

@service.handler()
async def wait(ctx: durably.Context, days: int) -> str:
    await ctx.sleep(timedelta(days=days))
    return await ctx.run_typed("say", lambda: f"{days} days")

@service.handler()
async def guess(ctx: durably.Context) -> None:
    await ctx.run_typed("head" if random.random() < 0.5 else "tail", lambda: None)
    await ctx.sleep(timedelta(days=1))
"""

TESTS = """
MARK
@pytest.mark.durably(skip_time=True)
async def test_awaiting(durably_harness):
    async with durably_harness(service) as env:
        assert await env.client.call(wait, 3) == "3 days"

MARK
@pytest.mark.durably(crash_everywhere=True, processes=0)
async def test_everywhere(durably_harness, durably_effects):
    async with durably_harness(service) as env:
        assert await env.client.call(wait, 3) == "3 days"

MARK
@pytest.mark.durably(crash_everywhere=True, processes=0)
async def test_everywhere_with_a_bug(durably_harness):
    async with durably_harness(service) as env:
        await env.client.call(guess)

def test_blocking(durably_harness):
    with durably_harness(service, skip_time=True) as harness:
        assert harness.client.call(wait, 400) == "400 days"

FIXTURE
async def env(durably_harness):
    async with durably_harness(service, skip_time=True) as env:
        yield env

class TestWithAFixture:
    MARK
    async def test_one(self, env):
        assert await env.client.call(wait, 1) == "1 days"

    MARK
    async def test_another(self, env):
        assert await env.client.call(wait, 2) == "2 days"
"""


@pytest.mark.parametrize(
    ("mode", "mark", "fixture"),
    [("strict", "@pytest.mark.asyncio", "@pytest_asyncio.fixture"), ("auto", "", "@pytest.fixture")],
)
def test_under_pytest_asyncio(pytester: pytest.Pytester, mode: str, mark: str, fixture: str):
    """Tests and fixtures that await, plain tests, and tests that run everywhere, which find the planted bug."""
    pytester.makepyfile(PRELUDE + TESTS.replace("MARK", mark).replace("FIXTURE", fixture))
    pytester.makeini(f"[pytest]\nasyncio_mode = {mode}\nasyncio_default_fixture_loop_scope = function\n")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:anyio", "-q")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*test_everywhere_with_a_bug*",
            "*does not follow its journal at command 1*",
            "*FAILED*test_everywhere_with_a_bug*",
        ]
    )
