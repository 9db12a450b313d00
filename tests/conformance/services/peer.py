"""Which package the contract services are written on.

Owns one switch: `DURABLY_CONFORMANCE_PEER=restate` runs the asynchronous services on `restate-sdk`, whose authoring API
durably repeats. A scenario that fails there is a wrong scenario, so that is how the suite itself is calibrated.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import durably as restate
elif os.environ.get("DURABLY_CONFORMANCE_PEER") == "restate":
    import restate
else:
    import durably as restate

__all__ = ["restate"]
