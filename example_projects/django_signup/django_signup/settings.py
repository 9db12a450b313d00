"""Settings of the project: as `startproject` makes them, and what durable handlers need, at the end."""

import os
from datetime import timedelta
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("SIGNUP_DEBUG", "1") == "1"
SECRET_KEY = os.environ.get("SIGNUP_SECRET_KEY", "only for development, on one machine, by one person")
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "history",
    "accounts",
    "orders",
    "durably_django",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "django_signup.urls"
WSGI_APPLICATION = "django_signup.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

_DATABASE = os.environ.get("SIGNUP_DATABASE", BASE_DIR / "signup.db")
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _DATABASE,
        # Several processes write: wait for each other at the beginning of a transaction, and let readers go on.
        "OPTIONS": {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "orders"
LOGOUT_REDIRECT_URL = "sign-up"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"

# ---- mail: on the screen, or one file for each in a folder

DEFAULT_FROM_EMAIL = "The shop <hello@shop.example>"
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
if os.environ.get("SIGNUP_MAILS"):
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = os.environ["SIGNUP_MAILS"]

# ---- signing up, and orders: how long everything takes

_DAY = timedelta(seconds=float(os.environ.get("SIGNUP_DAY_SECONDS", 24 * 3600)))
SIGNUP_REMINDERS = (_DAY, 3 * _DAY)
SIGNUP_EXPIRES = 7 * _DAY
ORDER_PACKING = timedelta(seconds=float(os.environ.get("SIGNUP_PACKING_SECONDS", 20)))
BASE_URL = os.environ.get("SIGNUP_BASE_URL", "http://localhost:8000")

# ---- durable handlers: the engine in this project, unless the environment names a Restate Server

DURABLY = {"URL": os.environ.get("DURABLY_URL", "sqlite:///durably.db")}
