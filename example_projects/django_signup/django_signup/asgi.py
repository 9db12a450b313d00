"""For uvicorn, hypercorn and granian; durable handlers start with the server."""

import os

from durably_django.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "django_signup.settings")

application = get_asgi_application()
