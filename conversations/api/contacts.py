"""/contacts: customers, by their phone numbers. They have no rows of their own: they are forgotten where they stand."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api.bodies import checked
from convalloc.api.envelope import success
from convalloc.api.schema import documented
from conversations import erasure
from conversations.api.phones import PhoneNumber
from conversations.api.shapes import Shape
from conversations.errors import NumberOfAnInbox
from operators.api.doors import LongDoor


class Forget(serializers.Serializer[Any]):
    """Whom to forget: a phone number, spelled as in a search."""

    phone_number = PhoneNumber(help_text="The whole number, with its country's code.")
    dry_run = serializers.BooleanField(default=False, help_text="Count, and change nothing.")

    example = {"phone_number": "+19876543210"}


class Forgotten(Shape):
    """Who the customer is from now on, and what gave way; a dry run counts a text twice that gives way for two reasons."""

    contact = serializers.CharField(help_text="The keyed hash that the audit keeps of the number.")
    stand_in = serializers.CharField(help_text="What stands in the number's place; nobody has it.")
    conversations = serializers.IntegerField(help_text="Conversations whose number gave way.")
    texts = serializers.IntegerField(help_text="Reasons and notes that gave way, or in which the number did.")
    erased_before = serializers.IntegerField(help_text="Conversations in which the customer had been forgotten already.")
    dry_run = serializers.BooleanField()

    example = {
        "contact": "3f1d0c5b9a7e42168d2b60f4c1a95e73",
        "stand_in": "+999204816395127",
        "conversations": 2,
        "texts": 3,
        "erased_before": 0,
        "dry_run": False,
    }


class Contacts(LongDoor):
    """The customers of the caller's tenant."""

    basename = "contact"

    @documented(Forgotten, body=Forget, message="Contact erased successfully", refuses=(NumberOfAnInbox,))
    @action(detail=False, methods=["post"])
    def erase(self, request: Request) -> Response:
        """Forget a customer, for good: their number, and what people wrote about them.

        Works in short transactions; conversations that are under way go on. Repeating it finds what was written meanwhile.
        """
        body = checked(Forget, request.data)
        contact, counts = erasure.erase_contact(self.caller.tenant_id, body["phone_number"], dry_run=body["dry_run"])
        told = {"contact": contact.fingerprint, "stand_in": contact.stand_in, "dry_run": body["dry_run"]}
        message = (
            "Nothing was changed" if body["dry_run"] else "Contact erased successfully" if counts.found else "Nothing is left to erase"
        )
        return success(
            told | {"conversations": counts.conversations, "texts": counts.texts, "erased_before": counts.before}, message=message
        )
