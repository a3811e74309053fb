"""The console's page of grace periods: who keeps what, for how long still, and a manager's word about it."""

from datetime import timedelta
from typing import Any

import pytest

from conversations import allocation, grace
from conversations.models import GracePeriod
from operators.models import Status
from tenants import isolation
from tests.conftest import Cast
from tests.console.conftest import said
from tests.conversations import invariants

LIST = "/admin/conversations/graceperiod/"


@pytest.fixture
def kept(cast: Cast) -> list[GracePeriod]:
    """Otto has left with two conversations."""
    with isolation.act_as(cast.tenant.pk):
        for _ in range(2):
            allocation.claim(cast.otto.pk, cast.conversation().pk)
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant)
        return list(GracePeriod.objects.select_related("conversation").order_by("pk"))


def do(browser: Any, act: str, rows: list[Any], **choice: Any) -> Any:
    """Select rows and do something; a choice is made on the page that asks for it."""
    form = {"action": act, "_selected_action": [row.pk for row in rows], **choice}
    return browser.post(LIST, form | ({"apply": 1} if choice else {"index": 0}), follow=True)


def test_the_list_says_how_long_each_is_kept_still(cast: Cast, kept: list[GracePeriod], browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        GracePeriod.objects.filter(pk=kept[0].pk).update(opened_at="2020-01-01T00:00:00Z", expires_at="2020-01-01T00:01:00Z")

    page = browse(cast.mia).get(LIST).content.decode()

    assert "14 min" in page
    assert ">due<" in page.replace(" ", "").replace("\n", "")


def test_extending_asks_for_how_long_and_shows_what(cast: Cast, kept: list[GracePeriod], browse: Any) -> None:
    page = do(browse(cast.mia), "extend", kept).content.decode()

    assert "2 grace periods" in page
    for row in kept:
        assert f"#{row.conversation_id} {row.conversation.external_conversation_id}, kept by" in page


def test_extending_moves_the_deadlines_with_the_reason_in_the_events(cast: Cast, kept: list[GracePeriod], browse: Any, told: Any) -> None:
    response = do(browse(cast.mia), "extend", kept, minutes=30, reason="on the train")

    assert said(response) == "2 extended by 30 min"
    assert [cast.again(row).expires_at - row.expires_at for row in kept] == [timedelta(minutes=30)] * 2
    assert {(event.cause, event.actor_id) for event in told(cast, "grace.extended")} == {("on the train", cast.mia.pk)}


@pytest.mark.parametrize("minutes", ["", "0", "-5", "10081", "soon"])
def test_extending_by_what_is_no_time_is_refused_beside_the_field(cast: Cast, kept: list[GracePeriod], browse: Any, minutes: str) -> None:
    page = do(browse(cast.mia), "extend", kept, minutes=minutes)

    assert "Extend the grace period" in page.content.decode()
    assert [cast.again(row).expires_at for row in kept] == [row.expires_at for row in kept]


def test_expiring_now_returns_the_work_to_the_queue(cast: Cast, kept: list[GracePeriod], browse: Any, told: Any) -> None:
    response = do(browse(cast.mia), "expire_now", kept[:1], reason="will not come back today")

    assert said(response) == "1 returned to the queue"
    assert [cast.again(row.conversation).state for row in kept] == ["QUEUED", "ALLOCATED"]
    assert [event.cause for event in told(cast, "conversation.requeued")] == ["will not come back today"]
    invariants.assert_all(cast)


@pytest.mark.parametrize(("act", "choice"), [("extend", {"minutes": 5}), ("expire_now", {"reason": ""})])
def test_one_that_has_ended_is_told_and_leaves_the_others_done(
    cast: Cast, kept: list[GracePeriod], browse: Any, act: str, choice: dict[str, Any]
) -> None:
    with isolation.act_as(cast.tenant.pk):
        grace.expire_now(kept[0].pk, cast.tenant, by=cast.ada)

    response = do(browse(cast.mia), act, kept, **choice)

    assert said(response).startswith("1 ")
    assert f"; #{kept[0].pk}: " in said(response)


def test_one_that_would_last_too_long_is_told_and_leaves_the_others_done(cast: Cast, kept: list[GracePeriod], browse: Any) -> None:
    far, near = kept
    with isolation.act_as(cast.tenant.pk):
        GracePeriod.objects.filter(pk=far.pk).update(expires_at=far.expires_at + timedelta(days=91))

    response = do(browse(cast.mia), "extend", kept, minutes=2 * 1440)

    assert said(response).startswith("1 extended by")
    assert f"; #{far.pk}: " in said(response)
    assert "92 days" in said(response)
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.get(pk=near.pk).expires_at - near.expires_at == timedelta(days=2)
