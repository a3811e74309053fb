"""What a kind of event is, its JSON schema and its example.

`before` and `after` are examples, and the schema as well: of each name in them CARRIED knows the form. A kind says no more
than what changed, so that folding `after` onto the row of before gives the row of after.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NOON = "2026-01-05T12:00:00.000000Z"
QUARTER_PAST = "2026-01-05T12:15:00.000000Z"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Facts = Mapping[str, Any]
Form = dict[str, Any]
NONE: Facts = MappingProxyType({})

ID: Form = {"type": "integer", "minimum": 1}
ID_OR_NULL: Form = {"type": ["integer", "null"], "minimum": 1}
COUNT: Form = {"type": "integer", "minimum": 0}
COUNT_OR_NULL: Form = {"type": ["integer", "null"], "minimum": 0}
TEXT: Form = {"type": "string"}
IDS: Form = {"type": "array", "items": ID, "uniqueItems": True}
INSTANT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
TIME: Form = {"type": "string", "format": "date-time", "pattern": INSTANT}
TIME_OR_NULL: Form = {"type": ["string", "null"], "format": "date-time", "pattern": INSTANT}
CARRIED: Mapping[str, Form] = {
    "api_key_id": ID,
    "assigned_operator_id": ID_OR_NULL,
    "assignment_id": ID,
    "before": COUNT,
    "capacity": COUNT_OR_NULL,
    "color": {"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$"},
    "contact": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    "conversation_id": ID,
    "conversations": COUNT,
    "cooldown_minutes": COUNT,
    "customer_phone_number": TEXT,
    "delay_cap_minutes": COUNT,
    "description": TEXT,
    "email": TEXT,
    "enabled": {"type": "boolean"},
    "end_reason": {"enum": ["returned", "assignment_ended", "expired"]},
    "expires_at": TIME,
    "events_kept_days": COUNT_OR_NULL,
    "external_conversation_id": TEXT,
    "grace_period_minutes": COUNT_OR_NULL,
    "inbox_id": ID,
    "inbox_ids": IDS,
    "inboxes": {
        "type": "array",
        "items": {"type": "object", "properties": {"inbox_id": ID, "capacity": COUNT_OR_NULL}, "required": ["inbox_id", "capacity"]},
    },
    "is_active": {"type": "boolean"},
    "kid": TEXT,
    "kinds": {"type": "array", "items": TEXT, "uniqueItems": True},
    "label_ids": IDS,
    "last_message_at": TIME,
    "lease_seconds": COUNT_OR_NULL,
    "left": COUNT,
    "message_cap": COUNT,
    "message_count": COUNT,
    "episode": COUNT,
    "name": TEXT,
    "operator_capacity": COUNT_OR_NULL,
    "operator_id": ID,
    "payload": {"enum": ["thin", "full"]},
    "phone_number": TEXT,
    "position": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
    "priority_alpha": {"type": "number", "minimum": 0},
    "priority_beta": {"type": "number", "minimum": 0},
    "resolved_at": TIME_OR_NULL,
    "resolved_conversations_days": COUNT_OR_NULL,
    "role": {"enum": ["OPERATOR", "MANAGER", "ADMIN"]},
    "scopes": {"type": "array", "items": TEXT, "uniqueItems": True},
    "state": {"enum": ["QUEUED", "ALLOCATED", "RESOLVED"]},
    "status": {"enum": ["AVAILABLE", "AWAY", "OFFLINE"]},
    "stopped_because": {"enum": ["", "by_hand", "gone", "failing"]},
    "texts": COUNT,
    "url": TEXT,
    "version": {"type": "integer", "minimum": 1},
    "waiting_clock": {"enum": ["last_message_at", "waiting_since"]},
    "waiting_since": TIME_OR_NULL,
    "weights_version": ID,
}


class Kind(NamedTuple):
    """One kind. `sometimes` are names that an event may lack, `by` operations of the API, `else_by` what causes it besides."""

    name: str
    says: str
    subject: str  # the type of what it happened to
    before: Facts = NONE
    after: Facts = NONE
    sometimes: frozenset[str] = frozenset()
    by: tuple[str, ...] = ()
    else_by: str = ""
    cause: str = ""  # an example
    for_admins: bool = False

    @property
    def of_a_conversation(self) -> bool:
        """Whether it always names a conversation."""
        return self.subject in ("conversation", "graceperiod")

    def schema(self) -> Form:
        """JSON Schema of such an event as it is told. What comes later adds names; it takes none away, and changes none."""
        place = ID if self.of_a_conversation else {"type": "null"}
        inbox = ID if self.of_a_conversation or self.subject in ("label", "inbox") else {"type": "null"}
        properties = {
            "id": ID,
            "position": {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
            "kind": {"const": self.name},
            "at": TIME,
            "subject": _object({"type": {"const": self.subject}, "id": {"type": "integer"}}),
            "conversation_id": place,
            "inbox_id": inbox,
            "actor_id": ID_OR_NULL,
            "cause": TEXT,
            "before": self._facts(self.before),
            "after": self._facts(self.after),
            "request_id": TEXT,
        }
        return {"$schema": DIALECT, "title": self.name, "description": self.says, **_object(properties)}

    def example(self) -> dict[str, Any]:
        """Such an event as it is told."""
        return {
            "id": 123,
            "position": "7345-123",
            "kind": self.name,
            "at": NOON,
            "subject": {"type": self.subject, "id": 6},
            "conversation_id": 6 if self.of_a_conversation else None,
            "inbox_id": 6 if self.subject == "inbox" else 2 if self.of_a_conversation or self.subject == "label" else None,
            "actor_id": 1 if self.by or not self.else_by else None,
            "cause": self.cause,
            "before": dict(self.before),
            "after": dict(self.after),
            "request_id": "0f8fad5b-d9cb-469f-a165-70867728950e" if self.by else "",
        }

    def _facts(self, facts: Facts) -> Form:
        return _object({name: CARRIED[name] for name in facts}, facts.keys() - self.sometimes)


def _object(properties: Form, required: Iterable[str] | None = None) -> Form:
    return {"type": "object", "properties": properties, "required": sorted(properties if required is None else required)}
