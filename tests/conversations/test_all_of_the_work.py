"""What is done to all that somebody holds is done at once: as few statements for much as for little, and nothing else than one by one."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from convalloc import clock
from conversations import allocation, grace, lifecycle
from conversations.grace import Release
from conversations.models import Assignment, Conversation, GracePeriod
from operators.models import Operator, Status
from tenants import eventlog, isolation
from tenants.models import Event
from tests.conftest import Cast
from tests.conversations import invariants
from tests.conversations.test_grace import held_by, status

Act = Callable[[Cast, Operator], Any]


def leaves(cast: Cast, operator: Operator) -> None:
    grace.change_status(operator.pk, Status.OFFLINE, cast.tenant)


def comes_back(cast: Cast, operator: Operator) -> None:
    grace.change_status(operator.pk, Status.AVAILABLE, cast.tenant)


def leaves_it_to_the_queue(cast: Cast, operator: Operator) -> None:
    grace.change_status(operator.pk, Status.OFFLINE, cast.tenant, release=Release.NOW)


def is_dismissed(cast: Cast, operator: Operator) -> None:
    grace.dismiss(operator.pk, cast.tenant, by=cast.ada)


def in_the_tenant(cast: Cast, act: Callable[[], Any]) -> None:
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk):
        act()


def busy(cast: Cast, work: int) -> Operator:
    """Somebody new who holds so much."""
    operator: Operator = cast.operator()
    for _ in range(work):
        cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        assert len(allocation.allocate_many(operator.pk, cast.tenant, work)) == work
    return operator


@pytest.mark.parametrize(
    ("before", "act"),
    [
        ([], leaves),
        ([leaves], comes_back),
        ([], leaves_it_to_the_queue),
        ([leaves], leaves_it_to_the_queue),
        ([], is_dismissed),
    ],
)
def test_fifty_conversations_take_as_few_statements_as_five(cast: Cast, before: list[Act], act: Act) -> None:
    asked = []

    for work in (5, 50):
        operator = busy(cast, work)
        for earlier in before:
            in_the_tenant(cast, lambda earlier=earlier, operator=operator: earlier(cast, operator))  # type: ignore[misc]
        with CaptureQueriesContext(connection) as queries:
            in_the_tenant(cast, lambda operator=operator: act(cast, operator))  # type: ignore[misc]
        asked.append(len(queries))

    assert asked[0] == asked[1]
    invariants.assert_all(cast)


# --- one by one, and all at once ------------------------------------------------------------------


def work_of_every_kind(cast: Cast, like: list[Conversation]) -> list[Conversation]:
    """What Otto holds: fresh and old work, much and little of it, beyond the cap and from the future.

    The first of it he holds for the second time; the last is without grace.
    """
    kinds: list[dict[str, Any]] = [
        {"message_count": messages, "minutes_ago": minutes} for messages, minutes in [(1, 10), (7, 90), (500, 1500), (3, -5), (2, 1439.999)]
    ]
    if like:
        kinds = [{"message_count": row.message_count, "last_message_at": row.last_message_at} for row in like]
    rows = [row for kind in kinds[:-1] for row in held_by(cast, cast.otto, **kind)]
    in_the_tenant(cast, lambda: lifecycle.deallocate(rows[0].pk, by=cast.mia))
    in_the_tenant(cast, lambda: allocation.claim(cast.otto.pk, rows[0].pk))
    status(cast, cast.otto, Status.OFFLINE)
    last = cast.conversation(**kinds[-1])
    with isolation.act_as(cast.tenant.pk):
        override = lifecycle.Override(force=True, reason="nobody else")
        rows.append(allocation.assign(cast.otto.pk, last.pk, override=override))
        GracePeriod.objects.filter(conversation_id=last.pk).delete()
    return rows


def seen(cast: Cast, row: Conversation) -> dict[str, Any]:
    """What became of a conversation, its assignment and its deadline, and how the log tells it, without ids."""
    with isolation.act_as(cast.tenant.pk):
        now = Conversation.objects.get(pk=row.pk)
        *earlier, assignment = Assignment.objects.filter(conversation_id=row.pk).order_by("pk")
        periods = list(GracePeriod.objects.filter(conversation_id=row.pk))
        about = {"conversation": [row.pk], "graceperiod": [period.pk for period in periods]}
        told = [
            event for kind, ids in about.items() for event in Event.objects.filter(subject_type=kind, subject_id__in=ids).order_by("pk")
        ]
    people = {cast.otto.pk: "otto", cast.mia.pk: "mia", None: None}
    named: dict[str, dict[Any, str | None]] = {
        **dict.fromkeys(("assigned_operator_id", "operator_id"), people),
        "conversation_id": {row.pk: "row"},
        "assignment_id": {once.pk: f"assignment {number}" for number, once in enumerate([*earlier, assignment])},
        "inbox_id": {cast.support.pk: "support"},
    }

    def without_ids(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: named[name][value] if name in named else value for name, value in fields.items() if name != "expires_at"}

    columns = ("state", "assigned_operator_id", "version", "waits_from", "credit", "rank", "saturated", "ranked_under", "resolved_at")
    return {
        **{name: getattr(now, name) for name in columns},
        "score": pytest.approx(now.priority_score, abs=1e-3),
        "earlier": [(once.end_reason, once.ended_at and once.ended_at <= assignment.started_at) for once in earlier],
        "ended": (assignment.end_reason, [period.end_reason for period in periods]),
        "at one instant": {now.updated_at, assignment.ended_at, *(period.ended_at for period in periods)} == {now.updated_at},
        "events": [
            (event.kind, event.cause, people[event.actor_id], without_ids(event.before), without_ids(event.after)) for event in told
        ],
    }


def test_taking_back_everything_is_what_taking_back_each_is(cast: Cast, neighbours: Cast) -> None:
    one_by_one = work_of_every_kind(cast, [])
    at_once = work_of_every_kind(neighbours, one_by_one)

    for row in one_by_one:
        in_the_tenant(cast, lambda row=row: lifecycle.deallocate(row.pk, by=cast.mia, cause="fell ill"))  # type: ignore[misc]
    in_the_tenant(
        neighbours,
        lambda: grace.change_status(neighbours.otto.pk, Status.OFFLINE, neighbours.tenant, reason="fell ill", release=Release.NOW),
    )

    assert [seen(neighbours, row) for row in at_once] == [seen(cast, row) for row in one_by_one]


def test_each_deadline_ends_before_its_conversation_goes_back_and_all_are_told_in_their_order(cast: Cast) -> None:
    held = held_by(cast, cast.otto, 3)
    status(cast, cast.otto, Status.OFFLINE)

    in_the_tenant(cast, lambda: leaves_it_to_the_queue(cast, cast.otto))

    with isolation.act_as(cast.tenant.pk):
        told = list(Event.objects.filter(kind__in=["grace.cancelled", "conversation.deallocated"]).order_by("pk"))
    assert [(event.kind, event.before.get("conversation_id", event.subject_id)) for event in told] == [
        *[("grace.cancelled", row.pk) for row in held],
        *[("conversation.deallocated", row.pk) for row in held],
    ]


def test_each_deadline_is_its_inboxs_and_the_log_tells_it_to_the_microsecond(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        type(cast.support).objects.filter(pk=cast.support.pk).update(grace_period_minutes=3)
    held_by(cast, cast.olga)
    held_by(cast, cast.olga, inbox=cast.sales)

    in_the_tenant(cast, lambda: leaves(cast, cast.olga))

    with isolation.act_as(cast.tenant.pk):
        opened = list(GracePeriod.objects.order_by("pk"))
        told = list(Event.objects.filter(kind="grace.opened").order_by("pk").values_list("subject_id", "after"))
    assert [row.expires_at - row.opened_at for row in opened] == [timedelta(minutes=3), timedelta(minutes=15)]
    work = ("assignment_id", "conversation_id", "operator_id")
    assert told == [(row.pk, {name: getattr(row, name) for name in work} | {"expires_at": clock.instant(row.expires_at)}) for row in opened]
