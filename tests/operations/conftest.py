"""The runtimes that are looked at: those of the command line's tests."""

from tests.cli.conftest import engine_place, place, server_place

__all__ = ["engine_place", "place", "server_place"]
