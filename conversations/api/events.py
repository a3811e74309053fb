"""/events: the log of the caller's tenant, for whoever keeps a copy, sends things on, or wants to know what happened."""

from typing import Any

from django.db.models import Q
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api import cursors
from convalloc.api.bodies import checked
from convalloc.api.cursors import PageSize
from convalloc.api.envelope import listing
from convalloc.api.fields import Id, WholeNumber
from convalloc.api.schema import ListMeta, documented
from convalloc.errors import Missing
from conversations import queue, timeline
from conversations.api.shapes import NOON
from operators.api.doors import TenantDoor
from operators.errors import NotYourInbox
from operators.sight import Viewer
from tenants import eventlog
from tenants.errors import BadPosition, PositionExpired
from tenants.kinds import KINDS

LATEST = "latest"
MOST = 1000
EXAMPLE = KINDS["conversation.claimed"].example()


class Subject(serializers.Serializer[Any]):
    """What something happened to."""

    type = serializers.CharField(help_text="`conversation`, `graceperiod`, `operator`, `label`, `inbox`, `tenant` …")
    id = serializers.IntegerField()


class Event(serializers.Serializer[Any]):
    """One change. What a kind carries in `before` and `after` says its JSON Schema, under `x-kinds`; more kinds may come."""

    id = serializers.IntegerField(help_text="Of this event, wherever it is told.")
    position = serializers.CharField(help_text="Where it stands in the log: opaque; send it as `after`.")
    kind = serializers.CharField(help_text="What happened, such as `conversation.claimed`.")
    at = serializers.DateTimeField()
    subject = Subject()
    conversation_id = serializers.IntegerField(allow_null=True)
    inbox_id = serializers.IntegerField(allow_null=True, help_text="After the change.")
    actor_id = serializers.IntegerField(allow_null=True, help_text="The operator who did it; null: the clock, a message, a command.")
    cause = serializers.CharField(help_text="Why, in the words of whoever did it, or one of ours.")
    before = serializers.DictField(help_text="What the changed fields were.")
    after = serializers.DictField(help_text="What they are.")
    request_id = serializers.CharField(help_text="X-Request-Id of the call that did it.")

    example = EXAMPLE


class LogMeta(ListMeta):
    """About a page of the log."""

    next_after = serializers.CharField(help_text="Send it as `after` for the next page, now or later: there is always a next one.")
    has_more = serializers.BooleanField(help_text="Whether to ask again at once. A page can be empty though there is more.")

    example = {**ListMeta.example, "next_after": EXAMPLE["position"], "has_more": False}


class Which(serializers.Serializer[Any]):
    """From where on, how many, and of what."""

    after = serializers.CharField(
        default="", allow_blank=True, max_length=50, help_text=f"A position; `{LATEST}`: from now on; without it: from the beginning."
    )
    limit = WholeNumber(min_value=1, max_value=MOST, default=100, help_text="Events of a page.")
    kinds = serializers.CharField(default="", allow_blank=True, max_length=4000, help_text="Only these, comma separated.")
    conversation_id = Id(required=False, help_text="What happened to one conversation.")

    def validate_kinds(self, value: str) -> list[str]:
        """The kinds, each once."""
        kinds = sorted({kind.strip() for kind in value.split(",")} - {""})
        if any(kind not in KINDS for kind in kinds):
            raise ValidationError(f'"kinds" must be of {", ".join(KINDS)}')
        return kinds


class TimelinePage(PageSize):
    """How much of a timeline, from which end."""

    sort = serializers.ChoiceField(choices=["oldest", "newest"], default="oldest", help_text="Which end comes first.")


class TimelineEntry(serializers.Serializer[Any]):
    """One thing that happened to a conversation, in a sentence. Names are those of now."""

    id = serializers.IntegerField(help_text="Of the event.")
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    actor_id = serializers.IntegerField(allow_null=True)
    actor_name = serializers.CharField(allow_null=True, help_text="Who did it; null: the clock, a message, a command.")
    text = serializers.CharField(help_text="What happened.")
    cause = serializers.CharField(help_text="Why; empty: nobody said.")

    example = {
        "id": 123,
        "at": NOON,
        "kind": "conversation.claimed",
        "actor_id": 1,
        "actor_name": "Operator One",
        "text": "Operator One took it.",
        "cause": "",
    }


def with_kinds(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Postprocessing hook of the OpenAPI document: every kind of event, with its JSON Schema and an example."""
    result["components"]["schemas"]["Event"]["x-kinds"] = {
        kind.name: {"schema": kind.schema(), "example": kind.example(), "operations": [name.replace("-", "_") for name in kind.by]}
        for kind in KINDS.values()
    }
    return result


def timeline_page(conversation_id: int, wish: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """One page of a conversation's timeline as a TimelinePage asks for it, and the next cursor. Raises Invalid for a bad cursor."""
    binding = cursors.digest(wish["sort"], {"timeline": conversation_id})
    (beyond,) = cursors.read(wish["cursor"], [cursors.whole_number], binding) if wish["cursor"] else [None]
    newest_first, limit = wish["sort"] == "newest", wish["limit"]
    found = timeline.entries(conversation_id, beyond=beyond, limit=limit + 1, newest_first=newest_first)
    cursor = cursors.write([found[limit - 1].id], binding) if len(found) > limit else None
    return [entry._asdict() for entry in found[:limit]], cursor


class Events(TenantDoor):
    """What happened in the caller's tenant, as far as they may see it."""

    basename = "event"

    @documented(Event, many=True, meta=LogMeta, query=(Which,), refuses=(Missing, NotYourInbox, BadPosition, PositionExpired))
    def list(self, request: Request) -> Response:
        """What happened, in the order in which it became final, from a position on: nothing is skipped, however slow its transaction.

        Follow the log by sending `next_after` as `after`, at once while `has_more`, else after a while. At least once: who
        breaks off asks for the last page again, and knows an event by its `id`. Events of one conversation are in the order of
        their `after.version`, which can differ from the log's where two transactions waited for each other: keep the highest.

        Managers and admins see their tenant's events, and admins alone those about signing in, keys and secrets. Operators see
        what happens at their inboxes, to conversations that they hold, and to themselves. Who may see a conversation sees all
        of its events by `conversation_id`.
        """
        wish = checked(Which, request.query_params)
        if wish["after"] == LATEST:
            return listing([], next_after=eventlog.spell(eventlog.end()), has_more=False)
        conversation_id = wish.get("conversation_id")
        if conversation_id is not None:
            queue.find_visible(conversation_id, self.caller)
        page = eventlog.page(
            eventlog.parse(wish["after"]) if wish["after"] else None,
            wish["limit"],
            kinds=wish["kinds"],
            conversation_id=conversation_id,
            which=Viewer.of(self.caller).filter() if conversation_id is None else Q(),
        )
        told = [eventlog.as_told(event) for event in page.events]
        return listing(told, next_after=eventlog.spell(page.next_after), has_more=page.has_more)
