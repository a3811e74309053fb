"""Every event says which conversation and inbox it is about, and who holds the conversation then: by that it is filtered and shown."""

from typing import Any

import pytest

from conversations import allocation, erasure, expiry, grace, labelling, lifecycle
from conversations.lifecycle import Override
from conversations.models import GracePeriod
from labels import catalogue
from operators import presence
from operators.models import Status
from tenants import inboxes, isolation
from tenants.models import Event
from tests.conftest import Cast
from tests.contract.witness import held

Told = tuple[str, int | None, int | None, int | None]


def told(cast: Cast, **which: Any) -> list[Told]:
    """Kind, conversation, inbox and holder of events, oldest first."""
    with isolation.act_as(cast.tenant.pk):
        return list(Event.objects.filter(**which).order_by("pk").values_list("kind", "conversation_id", "inbox_id", "holder_id"))


def test_a_conversations_life_is_told_of_it_where_it_is_and_in_whose_hands(cast: Cast) -> None:
    row, label = cast.conversation(), cast.label()
    support, sales, olga, otto = cast.support.pk, cast.sales.pk, cast.olga.pk, cast.otto.pk

    with isolation.act_as(cast.tenant.pk):
        allocation.allocate_next(olga, cast.tenant)
        labelling.attach(row.pk, label.pk)
        lifecycle.reassign(row.pk, otto, override=Override(force=True, reason="ill"))
        lifecycle.move(row.pk, sales, by=cast.mia)
        lifecycle.resolve(row.pk, by=cast.mia)

    assert told(cast, conversation_id=row.pk) == [
        ("conversation.created", row.pk, support, None),
        ("conversation.allocated", row.pk, support, olga),
        ("conversation.labelled", row.pk, support, olga),
        ("conversation.reassigned", row.pk, support, otto),
        ("conversation.moved", row.pk, sales, None),
        ("conversation.resolved", row.pk, sales, None),
    ]


@pytest.mark.parametrize("ended_by", ["the clock", "a manager", "their return"])
def test_a_grace_period_is_told_of_its_conversation_and_of_who_keeps_it(cast: Cast, ended_by: str) -> None:
    row = held(cast, cast.otto)
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        period = GracePeriod.objects.get()
        grace.extend(period.pk, 5)
        if ended_by == "the clock":
            GracePeriod.objects.update(opened_at=period.opened_at.replace(year=2020), expires_at=period.opened_at.replace(year=2021))
    if ended_by == "the clock":
        list(expiry.expire_all_of(cast.tenant.pk))
    with isolation.act_as(cast.tenant.pk):
        if ended_by == "a manager":
            grace.expire_now(period.pk, cast.tenant, by=cast.mia)
        if ended_by == "their return":
            grace.change_status(cast.otto.pk, Status.AVAILABLE, cast.tenant)

    events = told(cast, subject_type="graceperiod")
    assert [kind for kind, *_ in events][:2] == ["grace.opened", "grace.extended"]
    assert {tuple(where) for _, *where in events} == {(row.pk, cast.support.pk, cast.otto.pk)}
    assert len(events) == 3


def test_what_the_clock_and_an_absence_return_is_nobodys(cast: Cast) -> None:
    first, second = held(cast, cast.otto), held(cast, cast.olga)
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant, release=grace.Release.NOW)
        presence.lock(cast.olga.pk)
        grace.take_back(cast.olga.pk, cast.tenant, reason="ill")

    assert told(cast, kind="conversation.deallocated") == [
        ("conversation.deallocated", row.pk, cast.support.pk, None) for row in (first, second)
    ]


def test_an_erasure_is_told_of_the_conversation(cast: Cast) -> None:
    row = held(cast, cast.otto)

    erasure.erase_contact(cast.tenant.pk, row.customer_phone_number)

    assert told(cast, kind="conversation.erased") == [("conversation.erased", row.pk, cast.support.pk, cast.otto.pk)]


def test_labels_and_inboxes_are_told_of_their_inbox_and_people_of_none(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        label = catalogue.add(cast.support, "urgent", "#ff0000", created_by=cast.mia)
        catalogue.change(label.pk, name="very urgent")
        labelling.retire(label)
        inboxes.change(cast.support.pk, name="Help")
        presence.change(cast.otto.pk, Status.AWAY)

    kinds = ("label.created", "label.changed", "label.deleted", "inbox.changed", "operator.status_changed")
    nowhere = ("operator.status_changed", None, None, None)
    assert told(cast, kind__in=kinds) == [*((kind, None, cast.support.pk, None) for kind in kinds[:-1]), nowhere]
