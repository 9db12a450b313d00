"""The project for ASGI servers."""

from durably_django.asgi import get_asgi_application

application = get_asgi_application()
