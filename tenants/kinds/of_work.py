"""What is told of conversations, and of who keeps them for a while."""

from typing import Any

from tenants.kinds.kind import NOON, QUARTER_PAST, Facts, Kind

QUEUED = {"state": "QUEUED", "assigned_operator_id": None}
HELD = {"state": "ALLOCATED", "assigned_operator_id": 1}
RESOLVED = {"state": "RESOLVED", "resolved_at": NOON}
WORN = frozenset({"label_ids"})
WORK = {"assignment_id": 3, "conversation_id": 6, "operator_id": 1}
CLOSING = (
    "operator-change-status",
    "conversation-resolve",
    "conversation-deallocate",
    "conversation-release",
    "conversation-reassign",
    "conversation-move-inbox",
    "grace-period-expire-now",
)


def _moved(name: str, says: str, before: Facts, after: Facts, by: tuple[str, ...], **more: Any) -> Kind:
    """A kind of conversation's event: each counts its version up."""
    return Kind(f"conversation.{name}", says, "conversation", {**before, "version": 3}, {**after, "version": 4}, by=by, **more)


OF_CONVERSATIONS = (
    Kind(
        "conversation.created",
        "A conversation began, and waits at its inbox.",
        "conversation",
        after={"inbox_id": 2, "state": "QUEUED", "version": 1, "message_count": 1, "last_message_at": NOON, "waiting_since": NOON},
        sometimes=frozenset({"waiting_since"}),
        by=("ingest-messages",),
        else_by="an import, the demo",
    ),
    _moved("allocated", "The queue handed out its best conversation.", QUEUED, HELD, ("conversation-allocate",)),
    _moved("claimed", "An operator took a waiting conversation of their own choice.", QUEUED, HELD, ("conversation-claim",)),
    _moved("assigned", "A manager gave a waiting conversation to an operator.", QUEUED, HELD, ("conversation-manager-allocate",)),
    _moved(
        "reassigned",
        "A manager gave a held conversation to another operator.",
        {"assigned_operator_id": 2},
        {"assigned_operator_id": 1},
        ("conversation-reassign",),
        cause="forced: Otto is ill",
    ),
    _moved(
        "released",
        "Its holder gave it back to the queue.",
        HELD,
        QUEUED,
        ("conversation-release",),
        cause="I do not speak Portuguese",
    ),
    _moved(
        "deallocated",
        "A manager took it back into the queue.",
        HELD,
        QUEUED,
        ("conversation-deallocate", "operator-change-status"),
        else_by="the console",
    ),
    _moved(
        "requeued",
        "Its operator stayed offline for the whole grace period: it waits again.",
        HELD,
        QUEUED,
        ("grace-period-expire-now",),
        else_by="the clock",
        cause="grace_expired",
    ),
    _moved(
        "moved",
        "Another inbox answers; it waits there.",
        {**HELD, "inbox_id": 1, "label_ids": [1, 4]},
        {**QUEUED, "inbox_id": 2, "label_ids": [9]},
        ("conversation-move-inbox",),
        sometimes=frozenset({"state", "assigned_operator_id", "label_ids"}),
    ),
    _moved(
        "resolved",
        "The work is done.",
        {**HELD, "resolved_at": None},
        {**RESOLVED, "assigned_operator_id": None},
        ("conversation-resolve",),
        sometimes=frozenset({"assigned_operator_id"}),
    ),
    _moved(
        "reopened",
        "A customer wrote again after it was resolved: it waits from that message on.",
        {**RESOLVED, "waiting_since": None, "episode": 1},
        {"state": "QUEUED", "resolved_at": None, "waiting_since": QUARTER_PAST, "episode": 2},
        ("ingest-messages",),
        else_by="an import",
    ),
    _moved("labelled", "A label was put on.", {"label_ids": [1]}, {"label_ids": [1, 4]}, ("label-attach",), cause="VIP"),
    _moved("unlabelled", "A label was taken off.", {"label_ids": [1, 4]}, {"label_ids": [1]}, ("label-detach",), cause="VIP"),
    _moved(
        "erased",
        "Its customer is forgotten: a number that nobody has stands in for theirs.",
        {},
        {"customer_phone_number": "+999123456789012", "external_conversation_id": "erased-6-0b9c3f51d2a7e846"},
        ("contact-erase",),
        else_by="the clock, the command erase_contact",
        cause="contact 5d41402abc4b2a76b9719d911017c592",
    ),
    Kind(
        "message.received",
        "A message was counted.",
        "conversation",
        {"message_count": 4, "last_message_at": NOON, "waiting_since": None, "version": 3},
        {"message_count": 5, "last_message_at": QUARTER_PAST, "waiting_since": QUARTER_PAST, "version": 4},
        by=("ingest-messages",),
        else_by="an import",
    ),
)
OF_GRACE = (
    Kind(
        "grace.opened",
        "An operator went offline and keeps a conversation for a while.",
        "graceperiod",
        after={**WORK, "expires_at": QUARTER_PAST},
        by=("operator-change-status", "conversation-manager-allocate", "conversation-reassign"),
        else_by="the clock, for who gave no sign of life; the console",
        cause="offline",
    ),
    Kind(
        "grace.extended",
        "An offline operator may keep a conversation for longer.",
        "graceperiod",
        {"expires_at": NOON},
        {"expires_at": QUARTER_PAST},
        by=("grace-period-extend",),
        cause="on the train, back at noon",
    ),
    Kind(
        "grace.cancelled",
        "A grace period ended, because its operator is back or holds the conversation no more.",
        "graceperiod",
        WORK,
        {"end_reason": "returned"},
        by=CLOSING[:-1],
        else_by="the console",
        cause="returned",
    ),
    Kind(
        "grace.expired",
        "A grace period ran out: its conversation went back to the queue.",
        "graceperiod",
        WORK,
        {"end_reason": "expired"},
        by=CLOSING[-1:],
        else_by="the clock",
        cause="expired",
    ),
)
