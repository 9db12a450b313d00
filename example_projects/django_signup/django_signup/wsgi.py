"""For gunicorn and other WSGI servers; durable handlers start with each worker."""

import os

from durably_django.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_signup.settings")

application = get_wsgi_application()
