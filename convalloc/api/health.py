"""/health: for people, for load balancers, for whoever restarts things. Open to anyone; tells nothing about data."""

from datetime import UTC, datetime

from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.request import Request
from rest_framework.response import Response


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def health(request: Request) -> Response:
    """The service answers."""
    return _answer("healthy", "convalloc is running")


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def live(request: Request) -> Response:
    """This process answers; touches nothing else, so that a slow database never gets a healthy process killed."""
    return _answer("healthy", "alive")


@api_view(["GET"])
@authentication_classes([])
@permission_classes([])
def ready(request: Request) -> Response:
    """This process can serve: the database answers, and its schema is the one that this code was written for."""
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
