"""The Django project of the tests, with what a browser needs besides: style sheets, scripts, and the admin pages."""

from durably import EngineOptions
from tests.django.project import settings as others
from tests.django.project.settings import *  # noqa: F403

TIME_ZONE = "UTC"
ROOT_URLCONF = "tests.browser.project.urls"
INSTALLED_APPS = [*others.INSTALLED_APPS, "django.contrib.staticfiles"]
DURABLY = {**others.DURABLY, "OPTIONS": EngineOptions()}  # in memory too, what fails is tried for a while
