"""What must hold of a tenant's data at every instant between two transactions, whatever was done."""

from collections.abc import Iterable
from datetime import datetime
from itertools import product
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from convalloc import clock
from conversations.doctor import examination
from conversations.doctor.findings import Verdict
from conversations.models import Assignment, Conversation, ConversationLabel, GracePeriod
from conversations.states import TRANSITIONS, State
from operators.models import OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation
from tenants.kinds import KINDS
from tenants.models import Event
from tests.conftest import Cast

LEGAL = {(f"conversation.{move.event}", move.leaves, move.enters) for move in TRANSITIONS}


def assert_all(cast: Cast) -> None:
    """Every invariant of conversations and of presence, over all of the tenant."""
    with isolation.act_as(cast.tenant.pk):
        assert_allocated_exactly_with_one_open_assignment()
        assert_offline_operators_hold_nothing_without_grace()
        assert_the_clock_took_nothing_from_who_was_back()
        assert_the_history_of_presence_has_no_gap_and_ends_in_what_is()
        for row in Conversation.objects.all():
            assert_the_log_is_the_row(row)
        assert_every_event_is_what_its_kind_promises()
    assert_the_doctor_agrees(cast)


def assert_every_event_is_what_its_kind_promises() -> None:
    """By the schemas of the catalogue; of each form one."""
    forms = {(event.kind, *sorted(event.before), "then", *sorted(event.after)): event for event in Event.objects.all()}
    problems = [f"{event}: {problem}" for event in forms.values() for problem in misfits(eventlog.as_told(event))]
    assert problems == []


def misfits(event: dict[str, Any]) -> list[str]:
    """Where an event is not what its kind's schema says, with nothing besides."""
    schema = KINDS[event["kind"]].schema()
    for part in (schema, *(schema["properties"][name] for name in ("before", "after", "subject"))):
        part["additionalProperties"] = False
    return [problem.message for problem in Draft202012Validator(schema).iter_errors(event)]


def assert_the_doctor_agrees(cast: Cast) -> None:
    """What is whole by the rules of this file is whole by the product's own SQL, too: `manage.py doctor` cries no wolf."""
    findings = examination.examine([cast.tenant.pk])
    assert [finding.as_lines() for finding in findings if finding.verdict == Verdict.FAIL] == []


def assert_allocated_exactly_with_one_open_assignment() -> None:
    """The row and its assignments name the same holder."""
    held = Conversation.objects.filter(state=State.ALLOCATED).values_list("pk", "assigned_operator_id")
    opened = Assignment.objects.filter(ended_at__isnull=True).values_list("conversation_id", "operator_id")
    assert sorted(held) == sorted(opened)


def assert_offline_operators_hold_nothing_without_grace() -> None:
    """One open period for each conversation of an offline operator, and none for anybody else's."""
    offline = OperatorStatus.objects.filter(status=Status.OFFLINE).values("operator_id")
    at_risk = Assignment.objects.filter(ended_at__isnull=True, operator_id__in=offline).values_list("pk", flat=True)
    periods = GracePeriod.objects.filter(ended_at__isnull=True).values_list("assignment_id", flat=True)
    assert sorted(at_risk) == sorted(periods)


def assert_the_clock_took_nothing_from_who_was_back() -> None:
    """Whatever expired was an offline operator's. Both write under the operator's lock, so the order of ids is theirs."""
    for taken in Event.objects.filter(kind="conversation.requeued"):
        changes = Event.objects.filter(kind="operator.status_changed", subject_id=taken.before["assigned_operator_id"], id__lt=taken.pk)
        last = changes.order_by("-id").first()
        assert last is None or last.after["status"] == Status.OFFLINE, f"{taken} came after {last}"


def assert_the_history_of_presence_has_no_gap_and_ends_in_what_is() -> None:
    """Each period of an operator begins where the one before ended; the last is open, and is their status."""
    statuses = {row.operator_id: (row.status, row.last_status_change_at) for row in OperatorStatus.objects.all()}
    ends: dict[int, datetime | None] = {}
    for period in PresencePeriod.objects.order_by("operator_id", "started_at", "pk"):
        assert ends.get(period.operator_id, period.started_at) == period.started_at, f"{period} does not begin where the last one ended"
        ends[period.operator_id] = period.ended_at
        if period.ended_at is None:
            assert statuses.pop(period.operator_id) == (period.status, period.started_at)
    assert statuses == {}, "a status is in no history"


def timeline(row: Conversation) -> list[Event]:
    """A conversation's events, oldest first."""
    return list(Event.objects.filter(subject_type="conversation", subject_id=row.pk).order_by("id"))


def without_retired_labels(events: list[Event]) -> list[Event]:
    """As if labels that are gone had never been worn: the one event label.deleted stands for all of it."""
    gone = set(Event.objects.filter(kind="label.deleted").values_list("subject_id", flat=True))
    for event, side in product(events, ("before", "after")):
        if "label_ids" in getattr(event, side):
            getattr(event, side)["label_ids"] = [id_ for id_ in getattr(event, side)["label_ids"] if id_ not in gone]
    return events


def assert_the_log_is_the_row(row: Conversation) -> None:
    """The fold of the events is the row; versions have no gap; each change of state is one of the table's moves."""
    events = without_retired_labels(timeline(row))
    folded: dict[str, Any] = {"assigned_operator_id": None, "resolved_at": None, "waiting_since": None, "episode": 1, "label_ids": []}
    for number, event in enumerate(events, start=1):
        assert {name: folded.get(name) for name in event.before} == event.before, f"{event} does not begin where the last one ended"
        if number > 1 and event.kind in {kind for kind, _, _ in LEGAL}:
            assert (event.kind, folded["state"], event.after.get("state", folded["state"])) in LEGAL
        elif number > 1:
            assert "state" not in event.after
        folded |= event.after
        assert folded["version"] == number, "a version is missing, or told twice"
    assert events[0].kind == "conversation.created"
    assert folded == as_told(row, folded)


def as_told(row: Conversation, names: Iterable[str]) -> dict[str, Any]:
    """The same columns of the row, as events tell them."""
    told = {name: getattr(row, name) for name in names if name != "label_ids"}
    told = {name: clock.instant(value) if isinstance(value, datetime) else value for name, value in told.items()}
    worn = ConversationLabel.objects.filter(conversation_id=row.pk).order_by("label_id")
    return told | {"label_ids": list(worn.values_list("label_id", flat=True))}
