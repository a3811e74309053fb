"""State as the API tells it, and what an integrator does with events: lay `after` over what they knew. Both must come to the same."""

from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from tests.conftest import Api, Cast

Thing = tuple[str, int]  # type and id, as an event names its subject
State = dict[Thing, dict[str, Any]]
Told = dict[str, Any]

# What follows from time, or from other things: nobody is told of it, everybody can compute it or ask for it.
EXCEPTED = {
    "conversation": {"priority_score", "inbox_name", "operator_name", "updated_at", "assignment"},
    "operator": {"last_status_change_at", "active_conversations"},  # `at` of the last event; a count
    "tenant": {"in_words", "ranking", "version"},  # a version: one more with each event
    "label": {"updated_at", "version"},
    "graceperiod": {"seconds_left", "inbox_id", "inbox_name", "operator_name", "external_conversation_id"},
    "inbox": {"queued_conversations", "allocated_conversations"},
    "apikey": {"last_used_at"},
    "signingsecret": {"last_used_at"},
    "session": {"last_used_at", "current"},
    "webhook": {"position", "stopped_at", "former_until"},  # how far it is; `at` of the events
}
# What the event itself says of something new: who made it and when; and its tenant, which is the reader's. Nor does any event tell
# whose conversation it is: the log outlives an erasure.
AT_BIRTH = {
    "conversation": {"id", "tenant_id", "created_at", "external_conversation_id", "customer_phone_number"},
    "label": {"id", "tenant_id", "created_by", "created_at"},
    "graceperiod": {"id", "reason", "opened_at"},
    "apikey": {"id", "created_by", "created_at", "revoked_at"},
    "signingsecret": {"id", "created_by", "created_at", "dropped_at", "sign_as"},
    "webhook": {"id", "created_at"},
}
# As what something begins of which nobody said otherwise.
BLANK: dict[str, dict[str, Any]] = {"conversation": {"assigned_operator_id": None, "resolved_at": None, "label_ids": []}}
# Kinds after which their subject is not in its list any more, and those that tell of deeds without a trace in any list.
ENDS = {"label.deleted", "grace.cancelled", "grace.expired", "session.ended", "webhook.deleted"}
MARKS = {"api_key.revoked": "revoked_at", "signing_secret.dropped": "dropped_at"}  # the instant is the event's, to the millisecond
DEEDS = {"tenant.priorities_recalculated", "contact.erased", "webhook.secret_replaced", "webhook.tested", "webhook.replayed"}


def fetched(cast: Cast) -> State:
    """Everything that the API shows an administrator."""
    ada, state = Api(cast.ada), State()
    for row in ada.get("/conversations?limit=100").data["conversations"]:
        worn = {"label_ids": sorted(label["id"] for label in row.pop("labels"))}
        state["conversation", row["id"]] = row | worn
    for row in ada.get("/operators").data:
        state["operator", row["id"]] = row
    for operator in (cast.olga, cast.ada):  # whose limits and sessions the acts are about
        limits = ada.get(f"/operators/{operator.pk}/capacity").data
        inboxes = [{"inbox_id": inbox["inbox_id"], "capacity": inbox["limit"]} for inbox in limits["inboxes"]]
        state["operator", operator.pk] |= {"capacity": limits["own_limit"], "inboxes": _sorted(inboxes)}
        state |= {("session", session["id"]): session for session in ada.get(f"/operators/{operator.pk}/sessions").data}
    for type_, path in (("label", "/labels"), ("graceperiod", "/grace-periods"), ("inbox", "/inboxes"), ("apikey", "/api-keys")):
        state |= {(type_, row["id"]): row for row in ada.get(path).data}
    state |= {("signingsecret", row["id"]): row for row in ada.get("/signing-secrets").data}
    state |= {("webhook", row["id"]): row for row in ada.get("/webhooks").data}
    tenant = ada.get("/tenant").data
    return state | {("tenant", tenant["id"]): tenant}


def folded(state: State, events: Iterable[Told]) -> State:
    """What somebody believes who knew a state and was told of these events, in this order."""
    state = deepcopy(state)
    for event in events:
        thing = event["subject"]["type"], event["subject"]["id"]
        if event["kind"] in ENDS:
            state.pop(thing, None)
        elif event["kind"] not in DEEDS:
            row = state.setdefault(thing, deepcopy(BLANK.get(thing[0], {})))
            told = dict(event["after"])
            if event["kind"] == "operator.limits_changed" and "inboxes" in told:
                known = {seat["inbox_id"]: seat for seat in row["inboxes"] + told["inboxes"]}
                told["inboxes"] = _sorted(known.values())
            if event["kind"] in MARKS:
                told[MARKS[event["kind"]]] = event["at"]
            state[thing] = row | told
        if event["kind"] == "label.deleted":  # which stands for all that wore it
            for row in state.values():
                row["label_ids"] = [id_ for id_ in row["label_ids"] if id_ != thing[1]] if "label_ids" in row else []
    return state


def begins_elsewhere(state: State, events: Iterable[Told]) -> list[str]:
    """Events whose `before` is not what the ones before left."""
    found = []
    for number, event in enumerate(events := list(events)):
        row = folded(state, events[:number]).get((event["subject"]["type"], event["subject"]["id"]), {})
        found += [f"{event['kind']}: {name}" for name, was in event["before"].items() if name != "inboxes" and row.get(name, was) != was]
    return found


def contradictions(believed: State, state: State) -> list[str]:
    """Where belief and state differ, field by field."""
    found = [f"{thing} is believed to be there" for thing in believed.keys() - state.keys()]
    for (type_, id_), row in state.items():
        known = believed.get((type_, id_))
        if known is None:
            found.append(f"nobody told of {type_} {id_}")
            continue
        for name in row.keys() - EXCEPTED[type_]:
            if name not in known:
                found += [] if name in AT_BIRTH[type_] else [f"nobody told of {type_} {id_}'s {name}"]
            elif known[name] != row[name] and (name not in MARKS.values() or None in (known[name], row[name])):
                found.append(f"{type_} {id_}'s {name} is {row[name]!r}, and believed to be {known[name]!r}")
    return found


def _sorted(seats: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(seats, key=lambda seat: seat["inbox_id"])
