"""Ports for processes that tests start."""

from __future__ import annotations

import socket

from durably.testing.ports import free_port

FIRST_OUTGOING_PORT = 32_768


def test_a_port_is_given_once() -> None:
    """Two processes of one test run never get the same port, and outgoing connections cannot take it meanwhile."""
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    assert max(ports) < FIRST_OUTGOING_PORT


def test_a_port_can_be_bound() -> None:
    """Nothing listens on the port."""
    with socket.create_server(("127.0.0.1", free_port())):
        pass
