"""Pick loopback ports for the processes that tests start.

Owns the choice: a port that is free now and that the kernel does not hand out to outgoing connections, so that a
process which is killed and started again finds its port still free.
"""

from __future__ import annotations

import random
import socket
import threading
from typing import Final

__all__ = ["free_port"]

# Below Linux' default range for outgoing connections, which begins at 32768.
_FIRST: Final = 20_000
_LAST: Final = 32_000
_given: set[int] = set()
_lock = threading.Lock()


def free_port() -> int:
    """Give a TCP port on 127.0.0.1 that nothing listens on and that this process was not given before.

    Raises:
        OSError: Every port of the range is in use.
    """
    with _lock:
        candidates = [port for port in range(_FIRST, _LAST) if port not in _given]
        random.shuffle(candidates)
        for port in candidates:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _given.add(port)
            return port
    raise OSError(f"No free port between {_FIRST} and {_LAST}.")
