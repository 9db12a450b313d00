"""Reports on sales: built in steps, released by somebody else, mailed on a schedule.

flask --app reports init
gunicorn 'reports:create_app()'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from reports import auth, commands, mailings, releases, views
from reports.extensions import db, durably, post

__all__ = ["create_app"]

SERVED = (releases.releases, mailings.mailings)

DEFAULTS: Mapping[str, Any] = {
    "SECRET_KEY": "only-for-development",
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SQLALCHEMY_DATABASE_URI": "sqlite:///reports.db",
    "SQLALCHEMY_ENGINE_OPTIONS": {"connect_args": {"timeout": 30}},
    "MAIL_HOST": "127.0.0.1",
    "MAIL_PORT": 8125,
    "SETTLE_SECONDS": 60.0,  # between closing a month and trusting its figures
    "REMIND_SECONDS": 24 * 3600.0,  # how long the approvers have before they are asked again
}


def create_app(config: Mapping[str, Any] | None = None) -> Flask:
    """Make the application; variables that begin with `REPORTS_` and `config` change its defaults."""
    app = Flask(__name__)
    app.config.from_mapping(DEFAULTS)
    app.config.from_prefixed_env("REPORTS")
    app.config.from_mapping(config)
    for extension in (db, post, durably):
        extension.init_app(app)
    for blueprint in (auth.bp, views.bp):
        app.register_blueprint(blueprint)
    commands.add_to(app)
    return app
