"""Two hundred operators come back within 50 ms of the end of their grace, over HTTP, while two workers expire what is due."""

import random
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from convalloc import clock
from conversations import allocation, expiry, grace
from conversations.models import GracePeriod
from operators import presence
from operators.models import Operator, Status
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.conversations import invariants
from tests.races.crowd import acting
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")

OPERATORS = 200
CALLERS = 16
APART = timedelta(milliseconds=5)  # from one deadline to the next, so that the API keeps up with the returns
NEAR_SECONDS = 0.05
ROUNDS = 20  # a race may be missed, but not for ever


def everybody_left(cast: Cast) -> list[Operator]:
    """So many operators, each with a conversation, and now away."""
    people = [cast.operator() for _ in range(OPERATORS)]
    for operator in people:
        row = cast.conversation()
        acting(cast.tenant.pk, allocation.claim, operator.pk, row.pk)()
        acting(cast.tenant.pk, grace.change_status, operator.pk, Status.OFFLINE, cast.tenant)()
    return people


def deadlines_from_now(cast: Cast, people: list[Operator]) -> dict[int, float]:
    """Let their grace end one after another, beginning in a second: when, by operator, as seconds since 1970."""
    ends = {operator.pk: clock.now() + timedelta(seconds=1) + APART * place for place, operator in enumerate(people)}
    with isolation.act_as(cast.tenant.pk):
        for period in GracePeriod.objects.all():
            end = ends[period.operator_id]
            GracePeriod.objects.filter(pk=period.pk).update(opened_at=end - timedelta(minutes=15), expires_at=end)
    return {operator_id: end.timestamp() for operator_id, end in ends.items()}


def evening(port: int, near_seconds: float = NEAR_SECONDS) -> Cast:
    """Everybody comes back at about the end of their grace, and the clock takes what it may."""
    cast, over, luck = assemble(), threading.Event(), random.Random()
    people = everybody_left(cast)

    def come_back(caller: Caller, some: list[tuple[float, int]]) -> None:
        for moment, operator_id in some:
            time.sleep(max(0.0, moment - time.time()))
            assert caller.call("PUT", f"/operators/{operator_id}/status", {"status": "AVAILABLE"}).status == 200

    def expire() -> None:
        while not over.is_set():
            expiry.expire_due()
        connection.close()

    with callers(port, [cast.mia] * CALLERS) as crowd:
        ends = deadlines_from_now(cast, people)
        moments = sorted((end + luck.uniform(-near_seconds, near_seconds), operator_id) for operator_id, end in ends.items())
        workers = [threading.Thread(target=expire) for _ in range(2)]
        for worker in workers:
            worker.start()
        try:
            released([lambda caller=caller, n=n: come_back(caller, moments[n::CALLERS]) for n, caller in enumerate(crowd)])  # type: ignore[misc]
        finally:
            over.set()
            for worker in workers:
                worker.join()
    return cast


def outcomes(cast: Cast) -> set[str | None]:
    """How the grace periods ended."""
    with isolation.act_as(cast.tenant.pk):
        return set(GracePeriod.objects.values_list("end_reason", flat=True))


def test_two_hundred_who_return_at_the_last_moment_lose_nothing_that_they_were_in_time_for(committed: None, product: int) -> None:
    met = set[str | None]()

    for attempt in range(1, ROUNDS):  # on a busy machine an answer takes longer than anybody was early: then they come earlier
        cast = evening(product, NEAR_SECONDS * attempt)
        with isolation.act_as(cast.tenant.pk):
            assert not GracePeriod.objects.filter(end_reason="expired", ended_at__lt=F("expires_at")).exists()
        invariants.assert_all(cast)
        met |= outcomes(cast)
        if met == {"returned", "expired"}:
            break

    assert met == {"returned", "expired"}


def test_control_without_the_operators_locks_the_clock_takes_from_who_is_back(
    committed: None, product: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "hold_many", lambda ids, **_: set(ids))

    for _ in range(ROUNDS):
        cast = evening(product)
        try:
            with isolation.act_as(cast.tenant.pk):
                invariants.assert_the_clock_took_nothing_from_who_was_back()
        except AssertionError:
            return
    pytest.fail(f"nothing was taken wrongly in {ROUNDS} evenings")
