"""All that somebody holds is let go of, or kept, while one conversation of it goes another way.

One transaction is stopped in the middle, and the other runs into it. Each control lacks the guard, and has to break.
"""

from collections import Counter
from collections.abc import Callable

import pytest

from conversations import allocation, deadlines, grace, lifecycle, queue
from conversations.grace import Release
from conversations.models import Conversation, GracePeriod
from operators.models import Status
from tenants import isolation
from tenants.models import Event
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import Call, acting, until_waiting, waits_or_ends
from tests.races.guards import LOCKING


def handed_on_in_the_middle(cast: Cast, release: Release, wait: Callable[[Call], None]) -> list[Conversation]:
    """Otto held three; the second is Olga's, but that is not committed, when all his work is let go of. What becomes of them."""
    rows = [cast.conversation() for _ in range(3)]
    with isolation.act_as(cast.tenant.pk):
        for row in rows:
            allocation.claim(cast.otto.pk, row.pk)

    with isolation.act_as(cast.tenant.pk):
        lifecycle.reassign(rows[1].pk, cast.olga.pk)
        leaving = Call(acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.OFFLINE, cast.tenant, release=release))
        wait(leaving)
    leaving.done()
    return [cast.again(row) for row in rows]


def kept(cast: Cast) -> list[int]:
    """The conversations that have a deadline."""
    with isolation.act_as(cast.tenant.pk):
        return list(GracePeriod.objects.filter(ended_at__isnull=True).order_by("pk").values_list("conversation_id", flat=True))


def test_taking_back_everything_leaves_to_olga_what_was_handed_to_her_meanwhile(committed: None) -> None:
    cast = assemble()

    first, hers, last = handed_on_in_the_middle(cast, Release.NOW, until_waiting)

    assert [row.assigned_operator_id for row in (first, hers, last)] == [None, cast.olga.pk, None]
    invariants.assert_all(cast)


def test_leaving_opens_no_deadline_for_what_was_handed_to_olga_meanwhile(committed: None) -> None:
    cast = assemble()

    first, _, last = handed_on_in_the_middle(cast, Release.GRACE, until_waiting)

    assert kept(cast) == [first.pk, last.pk]
    invariants.assert_all(cast)


@pytest.mark.parametrize("release", Release)
def test_control_without_the_conversations_locks_what_is_olgas_is_let_go_of(
    committed: None, monkeypatch: pytest.MonkeyPatch, release: Release
) -> None:
    monkeypatch.setattr(queue, "HOLD", LOCKING.sub("", queue.HOLD).replace("{when_locked}", ""))
    cast = assemble()

    handed_on_in_the_middle(cast, release, waits_or_ends)

    with pytest.raises(AssertionError):
        invariants.assert_all(cast)


def returns_in_the_middle_of_a_deallocation(cast: Cast) -> list[tuple[str, int]]:
    """A manager has taken one of Otto's two back, but that is not committed, when he returns; how often each end of a deadline is told."""
    rows = [cast.conversation() for _ in range(2)]
    with isolation.act_as(cast.tenant.pk):
        for row in rows:
            allocation.claim(cast.otto.pk, row.pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)

    with isolation.act_as(cast.tenant.pk):
        lifecycle.deallocate(rows[0].pk, by=cast.mia)
        returning = Call(acting(cast.tenant.pk, grace.change_status, cast.otto.pk, Status.AVAILABLE, cast.tenant))
        until_waiting(returning)
    returning.done()
    with isolation.act_as(cast.tenant.pk):
        ends = Counter(Event.objects.filter(kind="grace.cancelled").values_list("cause", flat=True))
    return sorted(ends.items())


def test_who_returns_ends_no_deadline_that_somebody_else_has_ended_meanwhile(committed: None) -> None:
    cast = assemble()

    assert returns_in_the_middle_of_a_deallocation(cast) == [("assignment_ended", 1), ("returned", 1)]
    invariants.assert_all(cast)


def test_control_without_a_look_whether_it_is_open_still_one_deadline_ends_twice(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    still_open = "AND g.ended_at IS NULL"
    assert still_open in deadlines.CLOSE
    monkeypatch.setattr(deadlines, "CLOSE", deadlines.CLOSE.replace(still_open, ""))
    cast = assemble()

    assert returns_in_the_middle_of_a_deallocation(cast) == [("assignment_ended", 1), ("returned", 2)]
