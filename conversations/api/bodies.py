"""What clients send in a body."""

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from convalloc.api.cursors import PageSize
from convalloc.api.fields import Id, WholeNumber
from conversations import grace
from conversations.api.phones import PhoneNumber
from operators.models import Status


class ForOperator(serializers.Serializer[Any]):
    """Whom to give work."""

    operator_id = Id()

    example: dict[str, Any] = {"operator_id": 1}


class Work(ForOperator):
    """Whom to give work, and how much: with `count` the answer is a list."""

    count = WholeNumber(min_value=1, max_value=100, required=False)


class ForConversation(serializers.Serializer[Any]):
    """Which conversation."""

    conversation_id = Id()

    example: dict[str, Any] = {"conversation_id": 1}


class OperatorAndConversation(ForOperator, ForConversation):
    """Who takes which conversation."""

    example = ForOperator.example | ForConversation.example


class Forcible(OperatorAndConversation):
    """As a manager says it: `force` overrules availability, subscription and capacity, and needs a `reason`, which the event keeps."""

    force = serializers.BooleanField(default=False)
    reason = serializers.CharField(default="", allow_blank=True, max_length=500)

    example = {"operator_id": 2, "conversation_id": 5, "force": True, "reason": "covers the lunch break"}


class Release(ForConversation):
    """Which conversation is given back, and why: the reason is kept in the audit."""

    reason = serializers.CharField(max_length=500)

    example = ForConversation.example | {"reason": "needs somebody who speaks Polish"}


class ToInbox(ForConversation):
    """Which conversation goes to which inbox."""

    inbox_id = Id()

    example = {"conversation_id": 1, "inbox_id": 3}


class PhoneSearch(PageSize):
    """A phone number with its country's code: after `+`, `%2B`, a space, `00` or nothing, with or without signs between its digits."""

    phone_number = PhoneNumber(help_text="The whole number. `+` may arrive as `%2B`, as a space, or be missing.")

    example = {"phone_number": "+19876543210"}


class NewStatus(serializers.Serializer[Any]):
    """The status an operator goes to, and why. `release`: when the work of who goes OFFLINE goes back to the queue."""

    status = serializers.ChoiceField(choices=Status.choices)
    reason = serializers.CharField(default="", allow_blank=True, max_length=500, help_text="Kept in the history and in the event.")
    release = serializers.ChoiceField(
        choices=[release.value for release in grace.Release],
        required=False,
        help_text="With OFFLINE: after the `grace` period (unless told otherwise), or `now`, which is for managers.",
    )

    example = {"status": "OFFLINE", "reason": "end of shift", "release": "grace"}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "release" in attrs and attrs["status"] != Status.OFFLINE:
            raise ValidationError({"release": ['"release" is only for the status OFFLINE']})
        return attrs


class InboxLimit(serializers.Serializer[Any]):
    """How much an operator may hold of one inbox."""

    inbox_id = Id()
    limit = WholeNumber(min_value=0, max_value=10_000, allow_null=True, help_text="null: no limit.")

    example: dict[str, Any] = {"inbox_id": 1, "limit": 2}


class NewLimits(serializers.Serializer[Any]):
    """How much an operator may hold, in all and of inboxes they answer at; what is not named stays."""

    own_limit = WholeNumber(
        min_value=0, max_value=10_000, required=False, allow_null=True, help_text="In all; 0 takes nothing; null: as the tenant says."
    )
    inboxes = InboxLimit(many=True, required=False, max_length=1000)  # type: ignore[call-arg]  # of the list that `many` makes

    example = {"own_limit": 5, "inboxes": [InboxLimit.example]}

    def validate_inboxes(self, inboxes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len({row["inbox_id"] for row in inboxes}) < len(inboxes):
            raise ValidationError('"inboxes" must name an inbox once')
        return inboxes

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError({"own_limit": ['"own_limit" or "inboxes" is required']})
        return attrs


class LabelOnConversation(ForConversation):
    """Which label on which conversation."""

    label_id = Id()

    example = {"conversation_id": 1, "label_id": 1}
