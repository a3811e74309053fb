"""Every write, with each of its statements failing in turn: it changes all that it should or nothing, and can be repeated."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import DatabaseError, close_old_connections

from conversations import expiry, labelling, silence
from tenants import isolation
from tenants.models import Event
from tests.conftest import Api, Cast, assemble
from tests.contract import witness
from tests.contract.failing import FAULTS, faults
from tests.contract.routes import CONVERSATION, INBOX, LABEL, OPEN_TO_POST, ROUTES, Route, call, operations, stage
from tests.contract.ways import WAYS, Question, Way, absent, at_work
from tests.conversations import invariants
from tests.conversations.test_grace import minutes_pass
from tests.operators.test_leases import silent_for, with_leases

SEARCH = "conversation-search"
CHANGES_NOTHING = {SEARCH, "signature-check"}  # of itself
# Not of one transaction but of many short ones, each of which stands for itself: see below.
LONG = {"recalculation-update-priorities", "contact-erase"}
WRITES = [route for route in ROUTES if route.method != "GET" and route.operation not in CHANGES_NOTHING | LONG]


def staged(cast: Cast, route: Route) -> dict[str, int]:
    """Ids for a call that an admin may make, and that changes something."""
    ids = stage(cast, route.operation, cast.ada)
    match route.operation:
        case "conversation-move-inbox":
            ids[INBOX] = cast.sales.pk
        case "presence-heartbeat":
            with_leases(cast, 60)
        case "label-detach":
            with isolation.act_as(cast.tenant.pk):
                labelling.attach(ids[CONVERSATION], ids[LABEL])
    return ids


def test_every_write_of_the_api_is_among_them() -> None:
    written = {(route.operation, route.method) for route in WRITES}
    written |= {(operation, "POST") for operation in CHANGES_NOTHING | LONG}
    written |= {(open_to_anyone, "POST") for open_to_anyone in OPEN_TO_POST}  # among WAYS

    assert written == {(operation, method) for operation, method, _ in operations() if method != "GET"}


def assert_all_or_nothing(cast: Cast, api: type[Api], question: Question, fault: str) -> None:
    """As Ada asks it."""
    before = witness.everything_of(cast.tenant)

    *failed, done = faults(fault, lambda: api(cast.ada).call(*question), lambda: witness.everything_of(cast.tenant))

    assert [(answer.status, answer.body["code"]) for answer, _ in failed] == [(503, "unavailable")] * len(failed)
    assert [after for _, after in failed if after != before] == []
    assert len(failed) > 3
    assert done[0].status < 300
    assert done[1] != before
    invariants.assert_all(cast)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("route", WRITES, ids=str)
def test_a_write_with_a_fault_at_any_statement_changes_nothing_and_succeeds_when_repeated(
    committed: None, api: type[Api], route: Route, fault: str
) -> None:
    cast = assemble()

    assert_all_or_nothing(cast, api, call(route, staged(cast, route)), fault)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_so_does_every_other_way_to_write(committed: None, api: type[Api], way: Way) -> None:
    cast = assemble()

    assert_all_or_nothing(cast, api, way(cast), "refused")


def test_a_ranking_that_fails_at_any_statement_leaves_every_row_whole_and_succeeds_when_repeated(committed: None, api: type[Api]) -> None:
    cast = assemble()
    for messages in range(3):
        cast.conversation(message_count=messages)

    def look() -> None:
        invariants.assert_all(cast)
        witness.change(cast, cast.tenant, ranking_moved_at=None)  # a walk that died counts as running for a minute

    *failed, done = faults("refused", lambda: api(cast.ada).post("/conversations/update-priorities"), look)

    assert {answer.status for answer, _ in failed} == {503}
    assert len(failed) > 3
    assert done[0].data == {"updated_count": 3}


def test_an_erasure_that_fails_at_any_statement_leaves_every_row_whole_and_is_done_and_told_when_repeated(
    committed: None, api: type[Api]
) -> None:
    cast = assemble()
    row = cast.conversation()
    number = row.customer_phone_number

    *failed, done = faults(
        "refused", lambda: api(cast.ada).post("/contacts/erase", phone_number=number), lambda: invariants.assert_all(cast)
    )

    assert {answer.status for answer, _ in failed} == {503}
    assert len(failed) > 10
    assert (done[0].data["conversations"], done[0].data["erased_before"]) == (0, 1)  # the fault before it had left the telling alone
    assert cast.again(row).customer_phone_number == done[0].data["stand_in"]
    with isolation.act_as(cast.tenant.pk):
        assert Event.objects.get(kind="contact.erased").after["contact"] == done[0].data["contact"]


def whatever_becomes_of(act: Callable[[], Any]) -> Any:
    """What the clock's room counted; None where it failed."""
    try:
        with suppress(DatabaseError):
            return act()
    finally:
        close_old_connections()


def what_is_overdue(cast: Cast) -> None:
    absent(cast)
    minutes_pass(cast, 60)


def who_is_silent(cast: Cast) -> None:
    with_leases(cast, 60)
    silent_for(cast, at_work(cast), 61)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("stand", "room"), [(what_is_overdue, expiry.expire_due), (who_is_silent, silence.declare_lost)])
def test_so_does_the_clock(committed: None, stand: Callable[[Cast], None], room: Callable[[], Any], fault: str) -> None:
    cast = assemble()
    stand(cast)
    before = witness.everything_of(cast.tenant)

    seen = list(faults(fault, lambda: whatever_becomes_of(room), lambda: witness.everything_of(cast.tenant)))

    whole = seen[-1][1]
    assert [after for _, after in seen if after not in (before, whole)] == []  # it may fail when all is done, as it looks for more
    assert whole != before
    assert len(seen) > 4
    invariants.assert_all(cast)


def test_control_where_each_statement_is_kept_a_fault_leaves_half_a_change(committed: None, api: type[Api]) -> None:
    cast = assemble()
    [route] = [route for route in WRITES if route.operation == "conversation-resolve"]
    question = call(route, staged(cast, route))
    before = witness.everything_of(cast.tenant)

    *failed, _ = faults("refused", lambda: api(cast.ada).call(*question), lambda: witness.everything_of(cast.tenant), keeping=True)

    assert [after for _, after in failed if after != before] != []
