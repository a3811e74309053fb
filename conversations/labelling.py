"""Which conversation wears which label. Both belong to one inbox; the database refuses any other pair."""

from convalloc import clock
from convalloc.preconditions import refuse_changed
from conversations import lifecycle, queue
from conversations.errors import LabelOfAnotherInbox
from conversations.models import Conversation, ConversationLabel
from labels import catalogue
from labels.models import Label


def attach(conversation_id: int, label_id: int) -> Conversation:
    """Put a label on; what wears it already stays as it is. Raises Missing, LabelOfAnotherInbox, Changed."""
    conversation = queue.lock(conversation_id)
    label = _fitting(catalogue.lock(label_id), conversation)
    refuse_changed(conversation.version)
    worn = lifecycle.worn_labels(conversation)
    _, new = ConversationLabel.objects.get_or_create(
        conversation_id=conversation.pk, label_id=label.pk, defaults={"inbox_id": label.inbox_id}
    )
    if not new:
        return conversation
    labels = worn, lifecycle.worn_labels(conversation)
    return lifecycle.write(conversation, "conversation.labelled", clock.now(), labels=labels, cause=label.name)


def detach(conversation_id: int, label_id: int) -> Conversation:
    """Take a label off; what does not wear it stays as it is. Raises Missing, LabelOfAnotherInbox, Changed."""
    conversation = queue.lock(conversation_id)
    label = _fitting(catalogue.find(label_id), conversation)
    refuse_changed(conversation.version)
    worn = lifecycle.worn_labels(conversation)
    gone, _ = ConversationLabel.objects.filter(conversation_id=conversation.pk, label_id=label.pk).delete()
    if not gone:
        return conversation
    labels = worn, lifecycle.worn_labels(conversation)
    return lifecycle.write(conversation, "conversation.unlabelled", clock.now(), labels=labels, cause=label.name)


def retire(label: Label) -> None:
    """Take a label off everything and out of the catalogue; the one event `label.deleted` stands for all of it. Raises Missing, Changed."""
    label = catalogue.lock(label.pk)
    refuse_changed(label.version)
    ConversationLabel.objects.filter(label_id=label.pk).delete()
    catalogue.retire(label)


def _fitting(label: Label, conversation: Conversation) -> Label:
    if label.inbox_id != conversation.inbox_id:
        raise LabelOfAnotherInbox
    return label
