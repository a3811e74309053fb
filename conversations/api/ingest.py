"""/ingest: the way in for messaging systems. A message may come twice, late, or in any order: it counts once."""

from collections import Counter
from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import clock
from convalloc.api.bodies import checked
from convalloc.api.envelope import success
from convalloc.api.schema import documented
from convalloc.errors import Missing
from conversations import deliveries, ingest
from conversations.api.shapes import NOON, Shape
from conversations.deliveries import IncomingMessage
from conversations.errors import SentInTheFuture
from conversations.ingest import Outcome, Status
from operators.api import trespass
from operators.api.doors import TenantDoor


class IncomingMessages(Shape):
    """Messages, told together."""

    messages = IncomingMessage(many=True, allow_empty=False, max_length=ingest.MOST)  # type: ignore[call-arg]  # of the list that `many` makes

    example = {"messages": [IncomingMessage.example]}


class Batch(Shape):
    """As IncomingMessages, but whatever stands in the list is looked at one by one."""

    messages = serializers.ListField(child=serializers.JSONField(allow_null=True), allow_empty=False, max_length=ingest.MOST)


class FieldProblem(Shape):
    """A field, and what is wrong with it."""

    field = serializers.CharField()
    message = serializers.CharField()


class Receipt(Shape):
    """What became of a message. The last three fields tell why one is refused."""

    index = serializers.IntegerField(help_text="Its place among `messages`, from 0.")
    status = serializers.ChoiceField(
        choices=[status.value for status in Status],
        help_text="`created`: counted, and the conversation began with it. `duplicate`: it had been counted before.",
    )
    conversation_id = serializers.IntegerField(allow_null=True, help_text="null: refused.")
    reopened = serializers.BooleanField(help_text="The conversation was RESOLVED, and waits again because of this message.")
    kept = serializers.ListField(
        child=serializers.ChoiceField(choices=["inbox", "customer_phone_number"]),
        help_text="What the conversation knows otherwise than this message says. It keeps what it has.",
    )
    code = serializers.CharField(allow_null=True)
    message = serializers.CharField(allow_null=True)
    errors = FieldProblem(many=True)  # type: ignore[assignment]  # a field of the answer, not the serializer's own

    example = {
        "index": 0,
        "status": "created",
        "conversation_id": 8,
        "reopened": False,
        "kept": [],
        "code": None,
        "message": None,
        "errors": [],
    }


class ReceiptMeta(Shape):
    """How many, and what became of them."""

    count = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    created = serializers.IntegerField()
    counted = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    refused = serializers.IntegerField()

    example = {"count": 1, "timestamp": NOON, "created": 1, "counted": 0, "duplicate": 0, "refused": 0}


class Ingest(TenantDoor):
    """What messaging systems deliver."""

    basename = "ingest"

    @documented(
        Receipt,
        body=IncomingMessage,
        or_body=IncomingMessages,
        or_many=True,
        meta=ReceiptMeta,
        message="1 of 1 messages counted",
        statuses=(201, 200),
        refuses=(Missing, SentInTheFuture),
    )
    @action(detail=False, methods=["post"])
    def messages(self, request: Request) -> Response:
        """Count a message, or up to 500 under `messages`, each once however often it comes.

        A batch is answered 200, with what became of each: one that is refused stops no other. A message that comes alone is
        answered 201 when it was counted, 200 when it had been counted before, and as an error when it is refused.
        """
        many = "messages" in request.data
        rows = checked(Batch, request.data)["messages"] if many else [request.data]
        outcomes = deliveries.receive(self.caller.tenant, rows)
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
        if refusals and not many:
            raise refusals[0]
        for refusal in {str(refusal.sought): refusal for refusal in refusals if isinstance(refusal, Missing)}.values():
            trespass.tell(self, refusal)
        return _answer(outcomes, many=many)


def _answer(outcomes: list[Outcome], *, many: bool) -> Response:
    found = Counter(outcome.status for outcome in outcomes)
    told = [_told(index, outcome) for index, outcome in enumerate(outcomes)]
    new = found[Status.CREATED] + found[Status.COUNTED]
    return success(
        told if many else told[0],
        message=f"{new} of {len(outcomes)} messages counted",
        meta={"count": len(outcomes), "timestamp": clock.now(), **{status.value: found[status] for status in Status}},
        status=201 if new and not many else 200,
    )


def _told(index: int, outcome: Outcome) -> dict[str, Any]:
    refusal = outcome.refusal
    return {
        "index": index,
        "status": outcome.status.value,
        "conversation_id": outcome.conversation_id,
        "reopened": outcome.reopened,
        "kept": list(outcome.kept),
        "code": refusal.code if refusal else None,
        "message": refusal.message if refusal else None,
        "errors": [{"field": field, "message": text} for field, text in refusal.fields.items()] if refusal else [],
    }
