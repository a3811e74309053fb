"""The API and the console, for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

from convalloc import celery as celery  # a task that is sent without it goes to Celery's default broker, not to ours

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "convalloc.settings")

application = get_wsgi_application()
