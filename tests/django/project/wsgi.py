"""The project for WSGI servers."""

from durably_django.wsgi import get_wsgi_application

application = get_wsgi_application()
