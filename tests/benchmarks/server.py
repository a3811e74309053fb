"""The product's WSGI application with the routes of tests.benchmarks.bare, for granian."""

from django.conf import settings

from convalloc.wsgi import application as application

settings.ROOT_URLCONF = "tests.benchmarks.bare"  # read with the first request
