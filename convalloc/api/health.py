"""/health: for people, for load balancers, for whoever restarts things. Open to anyone; tells nothing about data."""

from datetime import UTC, datetime
from typing import Any

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from convalloc.api import leaving
from convalloc.api.schema import documented


class Verdict(serializers.Serializer[Any]):
    """How this process feels."""

    status = serializers.ChoiceField(choices=["healthy", "unhealthy"])
    message = serializers.CharField()
    timestamp = serializers.DateTimeField()

    example = {"status": "healthy", "message": "ready", "timestamp": "2026-01-05T10:00:00.000000Z"}


class OpenDoor(APIView):
    """Asks nobody for a name."""

    authentication_classes = ()
    permission_classes = ()


class Health(OpenDoor):
    """For people."""

    @documented(Verdict, bare=True)
    def get(self, request: Request) -> Response:
        """The service answers."""
        return _answer("healthy", "convalloc is running")


class Live(OpenDoor):
    """For whoever restarts processes."""

    @documented(Verdict, bare=True)
    def get(self, request: Request) -> Response:
        """This process answers; touches nothing else, so that a slow database never gets a healthy process killed."""
        return _answer("healthy", "alive")


class Ready(OpenDoor):
    """For load balancers."""

    @documented(Verdict, bare=True, statuses=(200, 503))
    def get(self, request: Request) -> Response:
        """This process can serve: it is not about to stop, the database answers, and its schema is the one that this code expects."""
        if leaving.is_near():
            return _answer("unhealthy", "this process is about to stop", status=503)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT app, name FROM django_migrations")
                applied = set(cursor.fetchall())
        except (DatabaseError, RuntimeError):
            return _answer("unhealthy", "the database does not answer", status=503)
        missing = set(MigrationLoader(None).disk_migrations) - applied
        if missing:
            return _answer("unhealthy", f"{len(missing)} migrations are not applied", status=503)
        return _answer("healthy", "ready")


def _answer(verdict: str, message: str, *, status: int = 200) -> Response:
    return Response({"status": verdict, "message": message, "timestamp": datetime.now(UTC)}, status=status)
