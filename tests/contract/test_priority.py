"""GET /conversations/{id}/priority: the terms, the place, and what is to come."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from conversations import allocation
from tenants import isolation
from tenants.models import Tenant
from tests.conftest import Answer, Api, Cast
from tests.contract import witness


def explained(api: Api, conversation: Any) -> Answer:
    """Why it stands where it stands."""
    return api.get(f"/conversations/{conversation.pk}/priority")


def test_tells_the_terms_and_when_waiting_stops_to_count(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation(message_count=10, minutes_ago=720)

    answer = explained(api(cast.olga), row)

    told = answer.data
    assert (told["alpha_term"], told["beta_term"]) == (0.04, pytest.approx(0.3, abs=1e-4))
    assert told["score"] == pytest.approx(told["alpha_term"] + told["beta_term"], abs=1e-9)
    assert (told["message_count"], told["message_cap"], told["delay_cap_minutes"]) == (10, 100, 1440)
    assert (told["waited_minutes"], told["waiting_clock"]) == (pytest.approx(720, abs=0.2), "last_message_at")
    assert told["saturates_in_minutes"] == pytest.approx(1440 - told["waited_minutes"], abs=1e-4)
    assert datetime.fromisoformat(told["saturates_at"]) == row.waits_from + timedelta(days=1)
    assert told["in_words"] == "10 messages worth 96 minutes of waiting, waiting for 12 hours: number 1 of 1 in its inbox."


def test_tells_the_place_in_its_inbox_and_among_the_callers(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation(minutes_ago=60)
    for minutes, inbox in ((90, cast.support), (30, cast.support), (100, cast.sales), (110, cast.sales), (20, cast.sales)):
        cast.conversation(minutes_ago=minutes, inbox=inbox)

    told = [explained(api(caller), row).data["rank"] for caller in (cast.otto, cast.olga, cast.mia)]

    in_inbox = {"position_in_inbox": 2, "waiting_in_inbox": 3}
    assert told[0] == in_inbox | {"position_for_caller": 2, "waiting_for_caller": 3}
    assert told[1] == told[2] == in_inbox | {"position_for_caller": 4, "waiting_for_caller": 6}


def test_what_does_not_wait_has_no_place(cast: Cast, api: type[Api]) -> None:
    held, done = witness.held(cast, cast.olga), witness.resolved(cast, cast.olga)

    told = [explained(api(cast.olga), row).data for row in (held, done)]

    assert [row["rank"] for row in told] == [None, None]
    assert [row["saturates_at"] is None for row in told] == [False, True]
    assert told[0]["in_words"].endswith(": ALLOCATED, so not in the queue.")


@pytest.mark.parametrize(("settings", "minutes_ago"), [({}, 1500), ({"priority_beta": 0}, 10)])
def test_nothing_is_to_come_once_saturated_or_without_beta(cast: Cast, api: type[Api], settings: dict[str, Any], minutes_ago: int) -> None:
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.filter(pk=cast.tenant.pk).update(**settings)
    row = cast.conversation(minutes_ago=minutes_ago)

    told = explained(api(cast.olga), row).data

    assert (told["saturates_at"], told["saturates_in_minutes"]) == (None, None)


def test_a_clock_ahead_counts_as_no_waiting(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation(minutes_ago=-60)

    told = explained(api(cast.olga), row).data

    assert (told["waited_minutes"], told["beta_term"]) == (0, 0)
    assert told["saturates_in_minutes"] > 1440


def test_agrees_with_the_order_in_which_the_queue_hands_out(cast: Cast, api: type[Api]) -> None:
    rows = [cast.conversation(message_count=n % 4, minutes_ago=minutes) for n, minutes in enumerate((5, 1500, 1600, 0, 700, -9))]
    places = {row.pk: explained(api(cast.otto), row).data["rank"]["position_for_caller"] for row in rows}

    with isolation.act_as(cast.tenant.pk):
        handed = [given.pk for given in allocation.allocate_many(cast.otto.pk, cast.tenant, 6)]

    assert handed == sorted(places, key=lambda pk: places[pk])
    assert sorted(places.values()) == [1, 2, 3, 4, 5, 6]


def test_who_may_not_see_it_hears_nothing(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    hidden, foreign = cast.conversation(inbox=cast.sales), neighbours.conversation()

    assert witness.said(explained(api(cast.otto), hidden)) == witness.NOT_YOUR_INBOX
    assert witness.said(explained(api(cast.ada), foreign)) == witness.missing("Conversation")
