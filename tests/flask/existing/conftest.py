"""The application beside this file is run by its own pytest, as a whole."""

from __future__ import annotations

collect_ignore = ["project"]
