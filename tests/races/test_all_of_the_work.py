"""All that somebody holds is let go of, while one conversation of it is handed to somebody else: theirs it stays.

One transaction is stopped in the middle, and the other runs into it. The control has no lock, and has to break.
"""

from collections.abc import Callable

import pytest

from conversations import allocation, grace, lifecycle, queue
from conversations.grace import Release
from conversations.models import Conversation, GracePeriod
from operators.models import Status
from tenants import isolation
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
