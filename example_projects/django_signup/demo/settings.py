"""The project's settings, but for passwords: hashing those of all people would take longer than all else together."""

from django_signup.settings import *  # noqa: F403 - the project's, all of them

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
