"""POST /conversations/update-priorities: rank and snapshot of the queue, computed anew."""

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness


def test_tells_how_many_and_corrects_what_was_stale(cast: Cast, api: type[Api]) -> None:
    stale, held = cast.conversation(message_count=50, minutes_ago=12 * 60), witness.held(cast, cast.olga)
    witness.resolved(cast, cast.olga)
    witness.change(cast, stale, priority_score=9, rank=0, credit=0)

    answer = api(cast.ada).post("/conversations/update-priorities")

    assert witness.said(answer) == (
        200,
        {"status": "success", "message": "Updated priorities of 2 conversations", "data": {"updated_count": 2}},
    )
    assert cast.again(stale).priority_score == pytest.approx(0.4 * 0.5 + 0.6 * 0.5, abs=1e-4)
    assert (cast.again(stale).rank, cast.again(stale).credit) == (stale.rank, stale.credit)
    assert cast.again(held).version == held.version


def test_an_empty_tenant_has_none(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.ada).post("/conversations/update-priorities")

    assert (answer.status, answer.data) == (200, {"updated_count": 0})


@pytest.mark.parametrize("caller", ["olga", "mia"])
def test_only_an_admin_may(cast: Cast, api: type[Api], caller: str) -> None:
    cast.conversation()

    with witness.untouched(cast):
        answer = api(getattr(cast, caller)).post("/conversations/update-priorities")

    assert witness.said(answer) == witness.role_too_low("ADMIN")


def test_another_tenants_rows_stay_as_they_are(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    stale = neighbours.conversation()
    witness.change(neighbours, stale, priority_score=9)

    with witness.untouched(neighbours):
        answer = api(cast.ada).post("/conversations/update-priorities")

    assert answer.data == {"updated_count": 0}
