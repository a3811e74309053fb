"""The API and the console, for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")

application = get_wsgi_application()
