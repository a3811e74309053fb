"""State before + events = state fetched after, for every operation that writes; and each event is one that its kind's schema promises."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from convalloc import clock
from conversations.models import Conversation
from operators.models import Operator, Status
from tenants import eventlog, isolation
from tenants.kinds import KINDS
from tenants.models import Event
from tests.conftest import Api, Cast
from tests.contract.folding import DEEDS, Told, begins_elsewhere, contradictions, fetched, folded
from tests.contract.routes import ROUTES, Route, call, session, stage
from tests.contract.witness import held, kept, resolved, set_status
from tests.conversations.invariants import misfits
from tests.operators.test_leases import with_leases

Body = dict[str, Any] | None
Question = tuple[Operator, str, str, Body]


class Act(NamedTuple):
    """An operation in some situation: how it is asked, and the kinds that it appends."""

    operation: str
    situation: str
    ask: Callable[[Cast], Question]
    tells: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.operation} {self.situation}".strip()


def plain(route: Route) -> Callable[[Cast], Question]:
    """As the tests that walk all routes ask it, by whoever may."""

    def ask(cast: Cast) -> Question:
        caller = cast.olga if route.operation in ("conversation-release", "presence-heartbeat") else cast.ada
        ids = stage(cast, route.operation, caller)
        if route.operation == "presence-heartbeat":
            with_leases(cast, 60)
        return caller, *call(route, ids)

    return ask


def post(who: str, path: str, **body: Callable[[Cast], Any]) -> Callable[[Cast], Question]:
    """A POST by one of the cast, with a body that is made of the cast."""
    return lambda cast: (getattr(cast, who), "POST", path, {name: value(cast) for name, value in body.items()})


def worn(cast: Cast) -> int:
    """Id of a label that a conversation which Otto holds wears."""
    label = cast.label()
    assert Api(cast.mia).post("/labels/attach", conversation_id=held(cast, cast.otto).pk, label_id=label.pk).status == 200
    return int(label.pk)


def labelled(cast: Cast) -> Any:
    """A conversation with a label, which Otto holds."""
    row, label = held(cast, cast.otto), cast.label()
    assert Api(cast.mia).post("/labels/attach", conversation_id=row.pk, label_id=label.pk).status == 200
    return row


def signed_in(cast: Cast) -> int:
    """Olga, in two places."""
    return len([session(cast, cast.olga) for _ in range(2)])


def status(who: str, wished: str, **more: str) -> Callable[[Cast], Question]:
    """Mia sets somebody's status, who holds two conversations."""

    def ask(cast: Cast) -> Question:
        operator = getattr(cast, who)
        rows = [held(cast, operator) for _ in range(2)]
        if wished == Status.AVAILABLE:
            assert Api(cast.mia).put(f"/operators/{operator.pk}/status", status="OFFLINE").status == 200
        assert rows
        return cast.mia, "PUT", f"/operators/{operator.pk}/status", {"status": wished, "reason": "lunch", **more}

    return ask


def message_to(situation: Callable[[Cast], Conversation]) -> Callable[[Cast], Question]:
    """A customer writes in a conversation that is there already."""

    def ask(cast: Cast) -> Question:
        row = situation(cast)
        told = {"message_id": "SM2", "external_conversation_id": row.external_conversation_id, "inbox": row.inbox_id}
        told |= {"customer_phone_number": row.customer_phone_number, "direction": "inbound", "sent_at": clock.now().isoformat()}
        return cast.ada, "POST", "/ingest/messages", told

    return ask


SETTINGS = {
    "name": "Another",
    "priority_alpha": 0.3,
    "priority_beta": 0.7,
    "message_cap": 50,
    "delay_cap_minutes": 60,
    "waiting_clock": "waiting_since",
    "grace_period_minutes": 5,
    "lease_seconds": 90,
    "operator_capacity": 7,
    "cooldown_minutes": 1,
    "resolved_conversations_days": 30,
    "events_kept_days": 90,
}
FORCED: dict[str, Callable[[Cast], Any]] = {"force": lambda cast: True, "reason": lambda cast: "needs them"}
ENDED = "grace.cancelled"


def offline_otto(cast: Cast) -> int:
    """Otto is not there, and holds nothing."""
    set_status(cast, cast.otto, Status.OFFLINE)
    return cast.otto.pk


def kept_by_otto(cast: Cast) -> int:
    """A conversation that Otto keeps for now."""
    return kept(cast, cast.otto).conversation_id


TOLD_PLAINLY = {
    "conversation-allocate": ("conversation.allocated",),
    "conversation-claim": ("conversation.claimed",),
    "conversation-manager-allocate": ("conversation.assigned",),
    "conversation-resolve": ("conversation.resolved",),
    "conversation-deallocate": ("conversation.deallocated",),
    "conversation-release": ("conversation.released",),
    "conversation-reassign": ("conversation.reassigned",),
    "conversation-move-inbox": (),  # to where it is
    "recalculation-update-priorities": ("tenant.priorities_recalculated",),
    "contact-erase": ("contact.erased",),
    "ingest-messages": ("conversation.created", "message.received"),
    "session-end": ("session.ended",),
    "session-end-all": ("session.ended",),
    "api-key-create": ("api_key.made",),
    "api-key-destroy": ("api_key.revoked",),
    "signing-secret-create": ("signing_secret.made",),
    "signing-secret-destroy": ("signing_secret.dropped",),
    "signature-check": (),
    "webhook-create": ("webhook.created",),
    "webhook-partial-update": ("webhook.changed",),
    "webhook-destroy": ("webhook.deleted",),
    "webhook-secret": ("webhook.secret_replaced",),
    "webhook-test": ("webhook.tested",),
    "webhook-retry": (),
    "webhook-replay": ("webhook.replayed",),
    "tenant-change": ("tenant.settings_changed",),
    "operator-change-status": ("operator.status_changed",),
    "grace-period-extend": ("grace.extended",),
    "grace-period-expire-now": ("conversation.requeued", "grace.expired"),
    "operator-change-capacity": ("operator.limits_changed",),
    "presence-heartbeat": (),
    "label-create": ("label.created",),
    "label-update": ("label.changed",),
    "label-destroy": ("label.deleted",),
    "label-attach": ("conversation.labelled",),
    "label-detach": (),
}
WRITES = [route for route in ROUTES if route.method != "GET" and route.operation != "conversation-search"]
PLAIN = [Act(route.operation, "", plain(route), TOLD_PLAINLY.get(route.operation, ())) for route in WRITES]
MORE = [
    Act("conversation-allocate", "many", post("olga", "/conversations/allocate", operator_id=lambda cast: (
        [cast.conversation() for _ in range(3)] and cast.olga.pk), count=lambda cast: 2), ("conversation.allocated",) * 2),
    Act("conversation-manager-allocate", "by force", post("mia", "/conversations/manager-allocate", operator_id=offline_otto,
        conversation_id=lambda cast: cast.conversation().pk, **FORCED), ("grace.opened", "conversation.assigned")),
    Act("conversation-reassign", "by force", post("mia", "/conversations/reassign", operator_id=offline_otto,
        conversation_id=lambda cast: held(cast, cast.olga).pk, **FORCED), ("grace.opened", "conversation.reassigned")),
    Act("conversation-reassign", "what is kept", post("mia", "/conversations/reassign", operator_id=lambda cast: cast.olga.pk,
        conversation_id=kept_by_otto), (ENDED, "conversation.reassigned")),
    Act("conversation-resolve", "what is kept", post("mia", "/conversations/resolve", conversation_id=kept_by_otto),
        (ENDED, "conversation.resolved")),
    Act("conversation-resolve", "what waits", post("mia", "/conversations/resolve", conversation_id=lambda cast: cast.conversation().pk),
        ("conversation.resolved",)),
    Act("conversation-deallocate", "what is kept", post("mia", "/conversations/deallocate", conversation_id=kept_by_otto),
        (ENDED, "conversation.deallocated")),
    Act("conversation-release", "what is kept", post("otto", "/conversations/release", conversation_id=kept_by_otto,
        reason=lambda cast: "not back soon"), (ENDED, "conversation.released")),
    Act("conversation-move-inbox", "what is kept", post("mia", "/conversations/move-inbox", conversation_id=kept_by_otto,
        inbox_id=lambda cast: cast.sales.pk), (ENDED, "conversation.moved")),
    Act("conversation-move-inbox", "with labels", post("mia", "/conversations/move-inbox", conversation_id=lambda cast: labelled(cast).pk,
        inbox_id=lambda cast: cast.sales.pk), ("conversation.moved",)),
    Act("conversation-move-inbox", "what waits", post("mia", "/conversations/move-inbox",
        conversation_id=lambda cast: cast.conversation().pk, inbox_id=lambda cast: cast.sales.pk), ("conversation.moved",)),
    Act("operator-change-status", "to OFFLINE", status("otto", "OFFLINE"), ("operator.status_changed", "grace.opened", "grace.opened")),
    Act("operator-change-status", "back", status("otto", "AVAILABLE"), ("operator.status_changed", ENDED, ENDED)),
    Act("operator-change-status", "and release", status("otto", "OFFLINE", release="now"),
        ("operator.status_changed", "conversation.deallocated", "conversation.deallocated")),
    Act("tenant-change", "of everything", lambda cast: (cast.ada, "PATCH", "/tenant", SETTINGS), ("tenant.settings_changed",)),
    Act("label-destroy", "what is worn", lambda cast: (cast.mia, "DELETE", f"/labels/{worn(cast)}", None), ("label.deleted",)),
    Act("label-detach", "what is worn", lambda cast: (cast.mia, "POST", "/labels/detach", {
        "conversation_id": labelled(cast).pk, "label_id": Api(cast.mia).get("/labels").data[0]["id"]}), ("conversation.unlabelled",)),
    Act("contact-erase", "with a telling id", post("ada", "/contacts/erase", phone_number=lambda cast: cast.conversation(
        customer_phone_number="+19870000001", external_conversation_id="sms-19870000001").customer_phone_number),
        ("conversation.erased", "contact.erased")),
    Act("ingest-messages", "to what waits", message_to(lambda cast: cast.conversation()), ("message.received",)),
    Act("ingest-messages", "to what is held", message_to(lambda cast: held(cast, cast.otto)), ("message.received",)),
    Act("ingest-messages", "to what is resolved", message_to(lambda cast: resolved(cast, cast.otto)),
        ("message.received", "conversation.reopened")),
    Act("session-end-all", "of two", lambda cast: (cast.ada, "DELETE", f"/operators/{signed_in(cast) and cast.olga.pk}/sessions", None),
        ("session.ended",) * 2),
]  # fmt: skip
ACTS = PLAIN + MORE


def told_after(cast: Cast, last: int) -> list[Told]:
    """What was appended since, as it is told."""
    with isolation.act_as(cast.tenant.pk):
        return [eventlog.as_told(event) for event in Event.objects.filter(pk__gt=last).order_by("pk")]


def last_told(cast: Cast) -> int:
    """Id of the last event so far."""
    with isolation.act_as(cast.tenant.pk):
        return Event.objects.latest("pk").pk


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_the_state_before_and_the_events_are_the_state_after(act: Act, cast: Cast) -> None:
    caller, method, path, body = act.ask(cast)
    before, last = fetched(cast), last_told(cast)

    answer = Api(caller).call(method, path, body)

    after, events = fetched(cast), told_after(cast, last)
    assert answer.status in (200, 201), answer.body
    assert tuple(event["kind"] for event in events) == act.tells
    assert contradictions(folded(before, events), after) == []
    assert begins_elsewhere(before, events) == []
    assert [problem for event in events for problem in misfits(event)] == []
    for number, suppressed in enumerate(events):  # the control: a fold that lacks any one of them is seen
        if suppressed["kind"] not in DEEDS:
            assert contradictions(folded(before, events[:number] + events[number + 1 :]), after), f"nobody would miss {suppressed}"


def test_every_write_of_the_api_is_walked() -> None:
    assert {route.operation for route in WRITES} == TOLD_PLAINLY.keys()


def test_the_catalogue_names_the_operations_that_cause_a_kind_and_no_others() -> None:
    caused = {(kind, act.operation) for act in ACTS for kind in act.tells}

    assert caused == {(kind.name, operation) for kind in KINDS.values() for operation in kind.by}
