"""The product's WSGI application without its row locks, for granian: what the races over HTTP must not survive."""

from django.db.backends.signals import connection_created

from convalloc.wsgi import application as application
from tests.races.guards import unlock

connection_created.connect(unlock)
