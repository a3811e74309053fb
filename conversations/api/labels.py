"""/labels: the vocabulary of the inboxes, and which conversation wears which word."""

from typing import Any

from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc.api import versions
from convalloc.api.bodies import checked
from convalloc.api.envelope import listing, success
from convalloc.api.fields import Id
from convalloc.api.schema import documented
from convalloc.errors import Missing
from conversations import labelling, queue
from conversations.api import bodies, shapes, wire
from conversations.errors import LabelOfAnotherInbox
from conversations.models import Conversation
from conversations.priority import Weights
from labels import catalogue
from labels.errors import DuplicateLabel
from labels.models import Label
from operators import desk, presence
from operators.api.doors import TenantDoor
from operators.api.permissions import refuse_for_others
from operators.errors import NotYourInbox, OthersWork
from operators.models import Operator


class Color(serializers.RegexField):
    """#RRGGBB."""

    def __init__(self, **options: Any) -> None:
        super().__init__(r"\A#[0-9A-Fa-f]{6}\Z", error_messages={"invalid": '"color" must be #RRGGBB'}, **options)


class NewLabel(serializers.Serializer[Any]):
    """A new word of an inbox."""

    inbox_id = Id()
    name = serializers.CharField(max_length=100)
    color = Color()
    created_by = Id(required=False, help_text="The caller; from a manager, an operator of the tenant.")

    example = {"inbox_id": 1, "name": "Refund", "color": "#336699"}


class ChangedLabel(serializers.Serializer[Any]):
    """Another name, another colour, or both. Whoever puts the whole label says of the rest what holds already."""

    name = serializers.CharField(max_length=100, required=False)
    color = Color(required=False)
    inbox_id = Id(required=False, help_text="The label's own: it stays in its inbox.")
    created_by = Id(required=False, help_text="As for a new label. It changes nothing.")

    example = {"name": "Refunds", "color": "#3366CC"}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.keys() & {"name", "color"}:
            raise ValidationError({"name": ['"name" or "color" is required']})
        return attrs


class OfInbox(serializers.Serializer[Any]):
    """Labels of which inbox; all that the caller may see without it."""

    inbox_id = Id(required=False, help_text="Labels of one inbox.")


class Labels(TenantDoor):
    """Labels of the inboxes that the caller may see."""

    basename = "label"

    @documented(shapes.LabelRow, many=True, query=(OfInbox,), refuses=(NotYourInbox, Missing))
    def list(self, request: Request) -> Response:
        """Labels, by inbox and name."""
        inbox_id = checked(OfInbox, request.query_params).get("inbox_id")
        inboxes = desk.visible_inboxes(self.caller)
        if inbox_id is not None:
            inboxes = inboxes.filter(pk=desk.visible_inbox(self.caller, inbox_id).pk)
        return listing(
            [_spell(label) for label in Label.objects.filter(inbox_id__in=inboxes.values("pk")).order_by("inbox_id", "name", "pk")]
        )

    @documented(
        shapes.LabelRow,
        body=NewLabel,
        statuses=(201,),
        message="Label created successfully",
        refuses=(NotYourInbox, OthersWork, Missing, DuplicateLabel),
    )
    def create(self, request: Request) -> Response:
        """Add a word to an inbox."""
        body = checked(NewLabel, request.data)
        inbox = desk.visible_inbox(self.caller, body["inbox_id"])
        creator = self._creator(body.get("created_by", self.caller.pk))
        label = catalogue.add(inbox, body["name"], body["color"], created_by=creator)
        return versions.shown(request, _spell(label), message="Label created successfully", status=201)

    @documented(shapes.LabelRow, body=ChangedLabel, message="Label updated successfully", refuses=(Missing, DuplicateLabel), versioned=True)
    def update(self, request: Request, pk: str) -> Response:
        """Another name or colour."""
        label = self._own(int(pk))
        body = checked(ChangedLabel, request.data)
        if body.pop("inbox_id", label.inbox_id) != label.inbox_id:
            raise ValidationError({"inbox_id": '"inbox_id" must be the inbox of the label: it cannot move'})
        self._creator(body.pop("created_by", self.caller.pk))
        return versions.shown(request, _spell(catalogue.change(label.pk, **body)), message="Label updated successfully")

    @documented(None, message="Label deleted successfully", refuses=(Missing,), versioned=True)
    def destroy(self, request: Request, pk: str) -> Response:
        """Take a word off everything that wears it, and out of the catalogue."""
        labelling.retire(self._own(int(pk)))
        return success(None, message="Label deleted successfully")

    @documented(
        shapes.Conversation,
        body=bodies.LabelOnConversation,
        message="Label attached successfully",
        refuses=(NotYourInbox, Missing, LabelOfAnotherInbox),
        versioned=True,
    )
    @action(detail=False, methods=["post"])
    def attach(self, request: Request) -> Response:
        """Put a label on a conversation of its inbox."""
        body = self._labelled(request)
        return self._answer(labelling.attach(body["conversation_id"], body["label_id"]), "Label attached successfully")

    @documented(
        shapes.Conversation,
        body=bodies.LabelOnConversation,
        message="Label detached successfully",
        refuses=(NotYourInbox, Missing, LabelOfAnotherInbox),
        versioned=True,
    )
    @action(detail=False, methods=["post"])
    def detach(self, request: Request) -> Response:
        """Take a label off a conversation."""
        body = self._labelled(request)
        return self._answer(labelling.detach(body["conversation_id"], body["label_id"]), "Label detached successfully")

    def _own(self, label_id: int) -> Label:
        label = catalogue.find(label_id)
        refuse_for_others(self, label.created_by_id)
        return label

    def _creator(self, operator_id: int) -> Operator:
        operator = presence.find(operator_id)
        if operator.pk != self.caller.pk and not self.caller.is_manager:
            raise OthersWork
        return operator

    def _labelled(self, request: Request) -> dict[str, Any]:
        body = checked(bodies.LabelOnConversation, request.data)
        queue.find_visible(body["conversation_id"], self.caller)
        return body

    def _answer(self, conversation: Conversation, message: str) -> Response:
        return versions.shown(self.request, wire.one(conversation.pk, Weights.of(self.caller.tenant)), message=message)


def _spell(label: Label) -> dict[str, Any]:
    names = ("id", "tenant_id", "inbox_id", "name", "color", "created_by_id", "created_at", "updated_at", "version")
    return {name.replace("created_by_id", "created_by"): getattr(label, name) for name in names}
