"""The product's WSGI application with one room that locks against the order, for granian: what the hunt for deadlocks must find."""

from convalloc.wsgi import application as application
from conversations import allocation
from tests.races.guards import claim_backwards

allocation.claim = claim_backwards
