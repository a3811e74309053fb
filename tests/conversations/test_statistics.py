"""Numbers for people, counted from assignments."""

from datetime import timedelta
from typing import Any

from convalloc import clock
from conversations import allocation, lifecycle, statistics
from conversations.models import Assignment, Conversation
from operators.models import Operator
from tenants import isolation
from tenants.models import Inbox
from tests.conftest import Cast


def resolved(cast: Cast, operator: Operator, *, minutes: float, ended_ago: timedelta = timedelta(), **facts: Any) -> Conversation:
    """A conversation that the operator resolved after so many minutes with it."""
    row: Conversation = cast.conversation(**facts)
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(operator.pk, row.pk)
        lifecycle.resolve(row.pk, by=operator)
        end = clock.now() - ended_ago
        Assignment.objects.filter(conversation_id=row.pk).update(started_at=end - timedelta(minutes=minutes), ended_at=end)
    return row


def numbers(cast: Cast, operator: Operator) -> dict[str, Any]:
    """An operator's statistics."""
    with isolation.act_as(cast.tenant.pk):
        return statistics.of_operator(operator)


def test_the_time_of_a_resolution_is_that_with_the_operator_not_that_in_the_queue(cast: Cast) -> None:
    resolved(cast, cast.otto, minutes=10, minutes_ago=20 * 60)
    resolved(cast, cast.otto, minutes=20, minutes_ago=5)

    assert numbers(cast, cast.otto)["avg_resolution_time_minutes"] == 15.0


def test_only_what_the_operator_resolved_counts(cast: Cast) -> None:
    resolved(cast, cast.olga, minutes=99)
    given_back, taken_over, waiting = cast.conversation(), cast.conversation(), cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, given_back.pk)
        lifecycle.deallocate(given_back.pk, by=cast.mia)
        allocation.claim(cast.otto.pk, taken_over.pk)
        lifecycle.reassign(taken_over.pk, cast.olga.pk)
        lifecycle.resolve(waiting.pk, by=cast.mia)

    assert numbers(cast, cast.otto) | {"operator_id": 0} == {
        "operator_id": 0,
        "active_conversations": 0,
        "resolved_today": 0,
        "resolved_this_week": 0,
        "resolved_total": 0,
        "oldest_active_since": None,
        "avg_resolution_time_minutes": 0.0,
        "waiting_in_inboxes": 1,
    }


def test_days_and_weeks_begin_at_midnight_utc_and_on_monday(cast: Cast) -> None:
    now = clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    monday = midnight - timedelta(days=midnight.weekday())
    shortly = timedelta(minutes=5)  # longer than a busy machine takes from the first row to the last
    for moment in (now, midnight, midnight - shortly, monday, monday - shortly):
        resolved(cast, cast.otto, minutes=1, ended_ago=now - moment)
    yesterday_counts = midnight - shortly >= monday

    found = numbers(cast, cast.otto)

    on_monday_itself = midnight == monday
    assert found["resolved_today"] == 2 + on_monday_itself
    assert found["resolved_this_week"] == 3 + yesterday_counts
    assert found["resolved_total"] == 5


def test_what_operators_hold_adds_up_to_what_inboxes_count(cast: Cast) -> None:
    rows = [cast.conversation(inbox=inbox) for inbox in (cast.support, cast.support, cast.support, cast.sales)]
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.otto.pk, rows[0].pk)
        allocation.claim(cast.olga.pk, rows[1].pk)
        allocation.claim(cast.olga.pk, rows[3].pk)
        operators = {row["id"]: row["active_conversations"] for row in statistics.of_operators()}
        counted = statistics.of_inboxes(Inbox.objects.all())
        inboxes = {row["id"]: (row["queued_conversations"], row["allocated_conversations"]) for row in counted}

    assert operators == {cast.otto.pk: 1, cast.olga.pk: 2, cast.mia.pk: 0, cast.ada.pk: 0}
    assert inboxes == {cast.support.pk: (1, 2), cast.sales.pk: (0, 1)}
    assert numbers(cast, cast.olga)["active_conversations"] == 2
    assert numbers(cast, cast.olga)["oldest_active_since"] is not None


def test_the_neighbours_work_is_nobodys_number(cast: Cast, neighbours: Cast) -> None:
    resolved(neighbours, neighbours.otto, minutes=10)
    neighbours.conversation()

    with isolation.act_as(cast.tenant.pk):
        inboxes = statistics.of_inboxes(Inbox.objects.all())

    assert {row["queued_conversations"] for row in inboxes} == {0}
    assert numbers(cast, cast.otto)["resolved_total"] == 0
