"""Messages as others spell them, in a request or in a file: read into what conversations.ingest takes, or told what is wrong."""

from collections.abc import Iterable
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from convalloc.api.bodies import each_checked
from convalloc.api.fields import BIGGEST_ID, Instant
from convalloc.errors import DomainError
from conversations import ingest
from conversations.ingest import Message, Outcome, Status
from conversations.models import ReceivedMessage
from tenants.models import Tenant

LONGEST_ID = 256  # characters of an id that others make up
LONGEST_NUMBER = 40  # characters of a phone number, however it is spelled


NAMES = [{"type": "integer", "minimum": 1, "maximum": BIGGEST_ID}, {"type": "string", "minLength": 1, "maxLength": LONGEST_NUMBER}]


@extend_schema_field({"oneOf": NAMES})
class InboxName(serializers.Field[Any, Any, Any, Any]):
    """An inbox: its id as a number, or its phone number as a text in any spelling. A text of digits that is nobody's number is an id."""

    def to_internal_value(self, data: Any) -> int | str:
        if isinstance(data, int) and not isinstance(data, bool) and 1 <= data <= BIGGEST_ID:
            return data
        if isinstance(data, str) and 0 < len(data.strip()) <= LONGEST_NUMBER and "\0" not in data:
            return data.strip()
        raise serializers.ValidationError('"inbox" must be an id or a phone number')


class IncomingMessage(serializers.Serializer[Any]):
    """A message: that it was sent, and not what it says."""

    message_id = serializers.CharField(
        max_length=LONGEST_ID, trim_whitespace=False, help_text="The provider's own: by it a message is counted once, for ever."
    )
    external_conversation_id = serializers.CharField(
        max_length=LONGEST_ID, trim_whitespace=False, help_text="Your name of the thread; one that is new opens a conversation."
    )
    inbox = InboxName(help_text="An id, or the phone number that the customer wrote to.")
    customer_phone_number = serializers.CharField(
        max_length=LONGEST_NUMBER, help_text="Kept as E.164, or as it is where it is no such number."
    )
    direction = serializers.ChoiceField(choices=ReceivedMessage.Direction.choices)
    sent_at = Instant(help_text="At most five minutes from now; as long ago as you like.")
    provider = serializers.CharField(
        max_length=50, default="default", help_text="Whose `message_id` it is, where several hand them out: part of what must be unique."
    )

    example: dict[str, Any] = {
        "message_id": "SM5f0e8b1c",
        "external_conversation_id": "ext_conv_008",
        "inbox": "+1234567890",
        "customer_phone_number": "+19876543217",
        "direction": "inbound",
        "sent_at": "2026-01-05T12:00:00.000000Z",
    }


COLUMNS = tuple(IncomingMessage().fields)
OPTIONAL = {"provider"}


def receive(tenant: Tenant, rows: Iterable[Any]) -> list[Outcome]:
    """Count those of these that can be read, and tell what became of each, in their order."""
    read = [told if isinstance(told, DomainError) else Message(**told) for told in each_checked(IncomingMessage, rows)]
    outcomes = iter(ingest.receive(tenant, [told for told in read if isinstance(told, Message)]))
    return [next(outcomes) if isinstance(told, Message) else Outcome(Status.REFUSED, refusal=told) for told in read]
