"""The product's WSGI application, but the ORM asks for every tenant's inboxes: the crawler must find what then comes through."""

from typing import Any

from django.db import models

from convalloc.wsgi import application as application
from tenants.models import Inbox, OwnedManager

scoped = OwnedManager.get_queryset


def unscoped(self: OwnedManager) -> models.QuerySet[Any]:
    """Scoped, but for one table."""
    return models.Manager.get_queryset(self) if self.model is Inbox else scoped(self)


OwnedManager.get_queryset = unscoped  # type: ignore[method-assign]
