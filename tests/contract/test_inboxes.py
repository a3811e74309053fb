"""GET /inboxes: where customers write to, with what waits and what is being answered."""

import pytest

from tests.conftest import Api, Cast
from tests.contract import witness


@pytest.mark.parametrize(("caller", "sees"), [("olga", 2), ("otto", 1), ("mia", 2), ("ada", 2)])
def test_operators_see_theirs_managers_and_admins_all(cast: Cast, api: type[Api], caller: str, sees: int) -> None:
    with witness.untouched(cast):
        answer = api(getattr(cast, caller)).get("/inboxes")

    assert [row["id"] for row in answer.data] == [cast.support.pk, cast.sales.pk][:sees]
    assert answer.body["meta"]["count"] == sees


def test_counts_what_waits_and_what_is_held(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    cast.conversation()
    witness.held(cast, cast.olga)
    witness.resolved(cast, cast.olga)

    answer = api(cast.olga).get("/inboxes")

    support, sales = answer.data
    assert support.pop("created_at").endswith("Z")
    assert support == {
        "id": cast.support.pk,
        "tenant_id": cast.tenant.pk,
        "name": "Support",
        "phone_number": cast.support.phone_number,
        "queued_conversations": 2,
        "allocated_conversations": 1,
    }
    assert (sales["queued_conversations"], sales["allocated_conversations"]) == (0, 0)


def test_another_tenants_are_not_there(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    neighbours.conversation()

    answer = api(cast.ada).get("/inboxes")

    assert {row["tenant_id"] for row in answer.data} == {cast.tenant.pk}
    assert {row["queued_conversations"] for row in answer.data} == {0}
