"""/operators/{id}/sessions: where somebody is signed in, and the way to end it. Who signs in, goes on and signs out is at /auth."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.envelope import listing, success
from convalloc.api.schema import documented
from convalloc.errors import Missing
from operators import sessions
from operators.api.doors import TenantDoor


class SessionRow(serializers.Serializer[Any]):
    """A client that is signed in."""

    id = serializers.IntegerField()
    began_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(help_text="When its tokens were renewed last.")
    expires_at = serializers.DateTimeField(help_text="Until when it may go on at the most.")
    current = serializers.BooleanField(help_text="Whether it is the one that asks.")

    example = {
        "id": 7,
        "began_at": "2026-01-05T10:00:00.000000Z",
        "last_used_at": "2026-01-05T10:09:00.000000Z",
        "expires_at": "2026-02-04T10:00:00.000000Z",
        "current": True,
    }


class Ended(serializers.Serializer[Any]):
    """How many sessions were ended."""

    ended_count = serializers.IntegerField()

    example = {"ended_count": 2}


class Sessions(TenantDoor):
    """The sessions of operators of the caller's tenant."""

    basename = "session"

    @documented(SessionRow, many=True, refuses=(Missing,))
    @action(detail=True, methods=["get"], url_path="sessions")
    def running(self, request: Request, pk: str) -> Response:
        """Where an operator is signed in, the newest first; at most the newest hundred. The console's sessions are not among them."""
        operator_id = self.on_behalf_of(int(pk))
        current = self.credential.session_id
        return listing([row | {"current": row["id"] == current} for row in sessions.running(operator_id)])

    @documented(Ended, message="Sessions ended successfully", refuses=(Missing,))
    @running.mapping.delete
    def end_all(self, request: Request, pk: str) -> Response:
        """Sign an operator out everywhere, also where the call comes from. Every access token is refused from the next request on."""
        ended = sessions.end_all(self.on_behalf_of(int(pk)), sessions.EndReason.SIGNED_OUT)
        return success({"ended_count": ended}, message="Sessions ended successfully")

    @documented(None, message="Session ended successfully", refuses=(Missing,))
    @action(detail=True, methods=["delete"], url_path="sessions/(?P<session_id>[0-9]{1,19})")
    def end(self, request: Request, pk: str, session_id: str) -> Response:
        """Sign an operator out in one place. Also 200 where it has ended already."""
        sessions.end_one(self.on_behalf_of(int(pk)), int(session_id))
        return success(None, message="Session ended successfully")
