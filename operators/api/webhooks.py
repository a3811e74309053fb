"""/webhooks: where events are sent. Administrators make and change them, managers see them and what became of each event."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api import cursors
from convalloc.api.bodies import checked
from convalloc.api.cursors import PageSize
from convalloc.api.envelope import listing, success
from convalloc.api.schema import ListMeta, documented
from convalloc.errors import Missing
from convalloc.outbound import LONGEST_URL
from operators.api.doors import TenantDoor
from tenants import deliveries, eventlog, webhooks
from tenants.errors import BadPosition, BadUrl, EnoughWebhooks, PositionExpired, WebhookStopped
from tenants.models import Webhook, WebhookDelivery

LATEST = "latest"
NOON = "2026-01-05T12:00:00.000000Z"
CHOICE = {"url": "https://crm.example.com/events", "description": "CRM", "kinds": ["conversation.claimed"], "payload": "thin"}
TRY = {"at": NOON, "status": 204, "error": "", "milliseconds": 87}


class NewWebhook(serializers.Serializer[Any]):
    """A webhook to make."""

    url = serializers.CharField(max_length=LONGEST_URL, help_text="Where to POST to: https, on the internet.")
    description = serializers.CharField(max_length=200, default="", allow_blank=True, help_text="What for; only people read it.")
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=webhooks.SENT),
        default=list,
        max_length=len(webhooks.SENT),
        help_text="Kinds of events; none: all but those for administrators.",
    )
    payload = serializers.ChoiceField(
        choices=Webhook.Payload.values, default="thin", help_text="`thin`: what happened to what, without names and numbers; `full`: all."
    )

    example = CHOICE


class Change(serializers.Serializer[Any]):
    """What to change of a webhook; what is not named stays."""

    url = serializers.CharField(max_length=LONGEST_URL, required=False)
    description = serializers.CharField(max_length=200, required=False, allow_blank=True)
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=webhooks.SENT), required=False, max_length=len(webhooks.SENT))
    payload = serializers.ChoiceField(choices=Webhook.Payload.values, required=False)
    enabled = serializers.BooleanField(required=False, help_text="true: it goes on from where it stood.")

    example = {"kinds": ["conversation.claimed", "conversation.resolved"], "enabled": True}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError({"url": ['"url" or something else is required']})
        return attrs


class WebhookRow(serializers.Serializer[Any]):
    """A webhook, without its secret."""

    id = serializers.IntegerField()
    url = serializers.CharField()
    description = serializers.CharField()
    kinds = serializers.ListField(child=serializers.CharField())
    payload = serializers.CharField()
    enabled = serializers.BooleanField()
    stopped_because = serializers.CharField(
        help_text="`by_hand`, `gone` (it answered 410), `failing` (nothing got through); empty: enabled."
    )
    stopped_at = serializers.DateTimeField(allow_null=True)
    position = serializers.CharField(help_text="Up to where it has read the log.")
    former_until = serializers.DateTimeField(allow_null=True, help_text="Until when the secret before signs as well.")
    created_at = serializers.DateTimeField()

    example = {
        "id": 1,
        **CHOICE,
        "enabled": True,
        "stopped_because": "",
        "stopped_at": None,
        "position": "7345-123",
        "former_until": None,
        "created_at": NOON,
    }


class MadeWebhook(WebhookRow):
    """A webhook, and a secret that was just made for it."""

    secret = serializers.CharField(help_text="Verify with it, by any library of Standard Webhooks. It is shown here, once.")

    example = WebhookRow.example | {"secret": "whsec_…"}


class Which(PageSize):
    """Which deliveries."""

    state = serializers.ChoiceField(choices=WebhookDelivery.State.values, required=False, help_text="Only these.")


class Attempt(serializers.Serializer[Any]):
    """How a try went."""

    at = serializers.DateTimeField()
    status = serializers.IntegerField(allow_null=True, help_text="HTTP's; null: there was no answer.")
    error = serializers.CharField(help_text="Why not, in a word, such as `timeout`.")
    milliseconds = serializers.IntegerField()


class DeliveryRow(serializers.Serializer[Any]):
    """An event on its way to a webhook."""

    id = serializers.IntegerField()
    event_id = serializers.IntegerField(help_text="Of the event: its `webhook-id`.")
    kind = serializers.CharField()
    state = serializers.CharField(help_text="`pending`, `delivered` or `failed`.")
    attempts = serializers.IntegerField()
    tries = Attempt(many=True)
    next_try_at = serializers.DateTimeField(allow_null=True)
    last_status = serializers.IntegerField(allow_null=True)
    last_error = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)

    example = {
        "id": 1,
        "event_id": 123,
        "kind": "conversation.claimed",
        "state": "delivered",
        "attempts": 1,
        "tries": [TRY],
        "next_try_at": None,
        "last_status": 204,
        "last_error": "",
        "created_at": NOON,
        "ended_at": NOON,
    }


class DeliveriesMeta(ListMeta):
    """About a page of deliveries."""

    next_cursor = serializers.CharField(allow_null=True)
    has_more = serializers.BooleanField()

    example = {**ListMeta.example, "next_cursor": None, "has_more": False}


class Replay(serializers.Serializer[Any]):
    """From where on to send again."""

    after = serializers.CharField(max_length=50, help_text=f"A position of the log; `{LATEST}`: leave out what is not read yet.")

    example = {"after": "7345-123"}


class Webhooks(TenantDoor):
    """The webhooks of the caller's organisation."""

    basename = "webhook"

    @documented(WebhookRow, many=True)
    def list(self, request: Request) -> Response:
        """Every webhook, the newest first, also those that are stopped."""
        return listing([webhooks.described(webhook) for webhook in webhooks.all_of_them()])

    @documented(MadeWebhook, body=NewWebhook, message="Webhook created successfully", statuses=(201,), refuses=(BadUrl, EnoughWebhooks))
    def create(self, request: Request) -> Response:
        """Send events somewhere, from now on. The secret is told in this answer and never again.

        Each event is POSTed, signed as Standard Webhooks has it, until it is answered by 2xx: ten times within 75 hours. At least
        once, under `webhook-id`, which is the event's id; 410 ends it all. See docs/webhooks.md.
        """
        webhook, text = webhooks.make(**checked(NewWebhook, request.data))
        return success(webhooks.described(webhook) | {"secret": text}, message="Webhook created successfully", status=201)

    @documented(WebhookRow, refuses=(Missing,))
    def retrieve(self, request: Request, pk: str) -> Response:
        """A webhook."""
        return success(webhooks.described(webhooks.find(int(pk))))

    @documented(WebhookRow, body=Change, message="Webhook changed successfully", refuses=(Missing, BadUrl))
    def partial_update(self, request: Request, pk: str) -> Response:
        """Send other kinds, elsewhere, or nothing for a while. Other kinds hold for what it has not read of the log yet."""
        webhook = webhooks.change(int(pk), **checked(Change, request.data))
        return success(webhooks.described(webhook), message="Webhook changed successfully")

    @documented(None, message="Webhook deleted successfully", refuses=(Missing,))
    def destroy(self, request: Request, pk: str) -> Response:
        """Send nothing there any more, and forget what was sent."""
        webhooks.remove(int(pk))
        return success(None, message="Webhook deleted successfully")

    @documented(MadeWebhook, message="Secret replaced successfully", refuses=(Missing,))
    @action(detail=True, methods=["post"])
    def secret(self, request: Request, pk: str) -> Response:
        """Make another secret. For a day each message bears a signature by the former one too."""
        webhook, text = webhooks.replace_secret(int(pk))
        return success(webhooks.described(webhook) | {"secret": text}, message="Secret replaced successfully")

    @documented(DeliveryRow, message="Test event sent", refuses=(Missing, WebhookStopped))
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send it an event of kind `webhook.tested`, within seconds; the deliveries tell what became of it."""
        return success(deliveries.described(webhooks.try_out(int(pk))), message="Test event sent")

    @documented(DeliveryRow, many=True, meta=DeliveriesMeta, query=(Which,), refuses=(Missing,))
    @action(detail=True, methods=["get"])
    def deliveries(self, request: Request, pk: str) -> Response:
        """What was sent there and what became of it, the newest first. What is over is kept for 30 days."""
        wish = checked(Which, request.query_params)
        state, limit = wish.get("state", ""), wish["limit"]
        binding = cursors.digest("newest", {"webhook": int(pk), "state": state})
        (beyond,) = cursors.read(wish["cursor"], [cursors.whole_number], binding) if wish["cursor"] else [None]
        found = [deliveries.described(row) for row in deliveries.log_of(int(pk), beyond, limit + 1, state)]
        cursor = cursors.write([found[limit - 1]["event_id"]], binding) if len(found) > limit else None
        return listing(found[:limit], next_cursor=cursor, has_more=cursor is not None)

    @documented(DeliveryRow, message="Delivery is tried again", refuses=(Missing,))
    @action(detail=True, methods=["post"], url_path="deliveries/(?P<delivery_id>[0-9]{1,19})/retry")
    def retry(self, request: Request, pk: str, delivery_id: str) -> Response:
        """Try an event now, whatever became of it, under the same id; it has all its tries again."""
        return success(deliveries.described(deliveries.retry(int(pk), int(delivery_id))), message="Delivery is tried again")

    @documented(WebhookRow, body=Replay, message="Webhook replayed successfully", refuses=(Missing, BadPosition, PositionExpired))
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        """Send again what came after a position of the log, under the same ids."""
        after = checked(Replay, request.data)["after"]
        webhook = webhooks.replay(int(pk), None if after == LATEST else eventlog.parse(after))
        return success(webhooks.described(webhook), message="Webhook replayed successfully")
