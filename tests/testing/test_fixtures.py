"""The pytest plugin, run as a user runs it: fixtures, marker, options, and tests that run everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import durably
from durably.errors import UsageError
from durably.testing.effects import Effects
from durably.testing.findings import HandlerFaultError
from durably.testing.fixtures import HarnessFactory, run_everywhere
from tests.testing.shop import SERVICES, add

pytest_plugins = ["pytester"]

PRELUDE = """
import durably
import pytest
from datetime import timedelta

service = durably.Service("Tested")
sent = []

@service.handler()
async def wait(ctx: durably.Context, days: int) -> str:
    await ctx.sleep(timedelta(days=days))
    return await ctx.run_typed("say", lambda: f"{days} days")

@service.handler()
async def mail(ctx: durably.Context, to: str) -> None:
    sent.append(to)
    await ctx.run_typed("note", lambda: None)
"""


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Run a test file in a process of its own, as pytest loads its plugins there."""

    def run_tests(text: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(PRELUDE + text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-q", *options)

    return run_tests


def test_both_kinds_of_tests(run: Run):
    """A coroutine test under anyio and a plain one use the same fixture, with the marker's options."""
    result = run("""
@pytest.mark.anyio
@pytest.mark.durably(skip_time=True)
async def test_awaiting(durably_harness):
    async with durably_harness([service]) as env:
        assert await env.client.call(wait, 3) == "3 days"

@pytest.mark.durably(skip_time=True, always_replay=True)
def test_blocking(durably_harness):
    with durably_harness(service) as harness:
        assert harness.client.call(wait, 400) == "400 days"

@pytest.fixture
def anyio_backend():
    return "asyncio"
""")
    result.assert_outcomes(passed=2)


def test_the_marker_runs_a_test_everywhere(run: Run):
    """A bug that one run does not show is found, and the failure names entry and line; a correct test passes."""
    result = run("""
@pytest.mark.durably(crash_everywhere=True, processes=0)
def test_effect(durably_harness, durably_effects):
    with durably_harness(service) as harness:
        harness.stub_step("note", calls=lambda: durably_effects.record("note", "x"))
        harness.client.call(mail, "Ada")

@pytest.mark.durably(crash_everywhere=True, processes=0)
def test_list(durably_harness):
    sent.clear()
    durably_harness.before_each(sent.clear)
    with durably_harness(service) as harness:
        harness.client.call(mail, "Ada")
    assert sent == ["Ada"]

@pytest.mark.anyio
@pytest.mark.parametrize("days", [1, 2])
@pytest.mark.durably(crash_everywhere=True)
async def test_correct(durably_harness, days):
    async with durably_harness(service) as env:
        assert await env.client.call(wait, days) == f"{days} days"

@pytest.fixture
def anyio_backend():
    return "asyncio"
""")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.re_match_lines(
        [r".*the effect 'note'.*twice, and once before: its step ran again", r".*the test failed: AssertionError.*"],
        consecutive=False,
    )
    result.stdout.re_match_lines(
        [
            r".*when: .*entry 2, the result of run 'note'",
            r".*at: .*test_the_marker_runs_a_test_everywhere\.py:\d+ in .*",
        ]
    )


def test_the_command_line_sets_options(run: Run):
    """Options reach every harness; the seed of a shuffle is printed and repeated in a failure."""
    text = """
def test_shuffled(durably_harness):
    with durably_harness(service, skip_time=True) as harness:
        assert harness.client.call(wait, 1) == "never"
"""
    result = run(text, "--durably-shuffle=12", "--durably-always-replay")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*shuffle=12*"])
    run(text, "--durably-shuffle=random").stdout.re_match_lines([r".*shuffled with shuffle=\d+\."])
    everywhere = run(text.replace('"never"', '"1 days"'), "--durably-crash-everywhere")
    everywhere.assert_outcomes(passed=1)


def test_what_a_server_does_not_have_is_skipped(run: Run):
    """On a real server a test that needs the embedded engine is skipped, and says why."""
    result = run(
        """
@pytest.mark.durably(skip_time=True)
def test_skipping(durably_harness):
    with durably_harness(service) as harness:
        harness.client.call(wait, 3)
""",
        "--durably-server",
        "-rs",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*A real server does not have skip_time*"])


COMMAND_LINE = SimpleNamespace(durably_always_replay=True, durably_shuffle="5", durably_server=False)


async def test_the_options_of_a_call_win():
    """What the call says counts more than the marker, and that more than the command line."""
    factory = HarnessFactory(COMMAND_LINE, {"shuffle": 6, "crash_everywhere": True}, None)
    async with factory(SERVICES, always_replay=False, skip_time=True) as env:
        options = env._harness.options
        assert (options.always_replay, options.shuffle, options.skip_time) == (False, 6, True)
        assert await env.client.call(add, 2, key="a") == 2


def test_options_that_are_not_there():
    """A misspelled option would let a test wait by the real clock: it is refused, in the call and in the marker."""
    factory = HarnessFactory(COMMAND_LINE, {"processes": 1, "crash_everywhere": True}, None)
    with pytest.raises(UsageError, match=r"no option 'skiptime'\. There are .*skip_time"):
        factory(SERVICES, skiptime=True)
    with pytest.raises(UsageError, match=r"marker `durably` has no option 'skiptime'"):
        HarnessFactory(COMMAND_LINE, {"skiptime": True}, None)


def test_a_failed_test_says_which_handlers_failed(run: Run):
    """How often, with what, and at which line of the user's code; not only that a call failed."""
    result = run("""
import json

@service.handler()
async def parse(ctx: durably.Context, text: str) -> int:
    return json.loads(text)["number"]

def test_parsing(durably_harness):
    with durably_harness(service, skip_time=True) as harness:
        assert harness.client.call(parse, "broken") == 1

def test_once(durably_harness):
    with durably_harness(service, disable_retries=True) as harness:
        assert harness.client.call(parse, "{}") == 1
""")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*HttpError: HTTP 500: JSONDecodeError*"])
    result.stdout.re_match_lines(
        [
            r".*Tested/parse failed 20 attempts, the last with JSONDecodeError: .*",
            r".*  at:   .*test_a_failed_test_says_which_handlers_failed\.py:\d+ in parse",
            r".*Tested/parse failed an attempt with KeyError: 'number'",
        ]
    )


async def test_coroutine_tests_run_everywhere():
    """Each run of a test begins with empty effects and what it asked to be called; crashes are told."""
    effects = Effects()
    factory = HarnessFactory(COMMAND_LINE, {}, effects)
    told: list[str] = []

    async def test(durably_harness: HarnessFactory) -> None:
        durably_harness.before_each(lambda: told.append("again"))
        durably_harness.on_crash(lambda: told.append("crash"))
        async with durably_harness(SERVICES) as env:
            env.effects.record("once")
            assert await env.client.call(add, 2, key="a") == 2

    await run_everywhere(test, {"processes": 0, "most_crashes": 3})(durably_harness=factory)
    assert told.count("crash") == 3
    assert told.count("again") == 4
    assert len(effects.all) == 1


def test_blocking_tests_run_everywhere():
    """A plain test runs everywhere too, and fails with what was found."""
    factory = HarnessFactory(SimpleNamespace(**{**vars(COMMAND_LINE), "durably_always_replay": False}), {}, None)
    service = durably.Service("Drifting")
    runs: list[int] = []

    @service.handler()
    async def drift(ctx: durably.Context) -> None:
        runs.append(1)
        await ctx.run_typed(f"step {len(runs)}", lambda: None)

    def test(durably_harness: HarnessFactory) -> None:
        with durably_harness(service) as harness:
            harness.client.call(drift)

    with pytest.raises(HandlerFaultError, match="run 'step"):
        run_everywhere(test, {"processes": 0, "most_crashes": 2})(durably_harness=factory)


def test_the_plugin_imports_nothing_before_it_is_used():
    """Sessions that have no durable handlers do not pay for the package."""
    code = "import sys, durably_pytest; sys.exit('durably' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parent).returncode == 0
