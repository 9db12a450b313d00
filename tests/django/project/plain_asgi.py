"""The project for ASGI servers, without the layer of durably around it."""

from django.core.asgi import get_asgi_application

application = get_asgi_application()
