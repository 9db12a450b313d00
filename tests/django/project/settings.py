"""Settings of the project; processes of its own are steered by the environment."""

import os
import tempfile
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import django

_FOLDER = Path(os.environ.get("PROJECT_FOLDER") or tempfile.mkdtemp(prefix="durably-django-"))

SECRET_KEY = "a key for tests only, long enough to be one of fifty characters"
DEBUG = os.environ.get("PROJECT_DEBUG") == "1"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.django.project.urls"
USE_TZ = True
STATIC_URL = "static/"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.admin",
    "durably_django",
    "durably_django.tasks",
    "tests.django.project.shop",
]
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _FOLDER / "project.sqlite3",
        "OPTIONS": {"timeout": 20, **({"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {})},
    }
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    },
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DURABLY = {"URL": os.environ.get("PROJECT_URL", "memory://")}
for _name in ("ADMIN_URL", "SERVICE_URL"):
    if os.environ.get(f"PROJECT_{_name}"):
        DURABLY[_name] = os.environ[f"PROJECT_{_name}"]
if find_spec("django.tasks") or find_spec("django_tasks"):
    _backend = "durably_django.tasks.DurablyBackend"
    _retrying = {"max_attempts": 3, "first_pause": timedelta(milliseconds=5)}
    TASKS = {
        "default": {"BACKEND": _backend, "QUEUES": ["default", "reports"]},
        "retrying": {"BACKEND": _backend, "OPTIONS": _retrying},
    }
