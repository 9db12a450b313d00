"""What has to be set before anything of the project is imported."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import django

__all__ = ["FOLDER"]

FOLDER = tempfile.TemporaryDirectory(prefix="signup-tests-", ignore_cleanup_errors=True)

os.environ["DJANGO_SETTINGS_MODULE"] = "django_signup.settings"
os.environ["DURABLY_URL"] = "memory://"
os.environ["SIGNUP_DATABASE"] = str(Path(FOLDER.name) / "signup.db")
os.environ["SIGNUP_PACKING_SECONDS"] = "0"

django.setup()
