"""Durably for Flask: existing views become durable, and services beside them.

from durably_flask import Durably, ctx

app = Flask(__name__)
durably = Durably(app)
"""

from __future__ import annotations

from durably_flask.app import Durably
from durably_flask.proxies import ctx, identity

__all__ = ["Durably", "ctx", "identity"]
