"""The pages of presence: what somebody was, for how long, by whose word and why; and a manager's word."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin import site
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import allocation, grace, silence
from conversations.admin.people import PresencePage
from conversations.models import Conversation, GracePeriod
from operators import presence
from operators.models import Operator, OperatorStatus, PresencePeriod, Status
from tenants import eventlog, isolation
from tests.conftest import Cast
from tests.operators.test_leases import silent_for, with_leases

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def page_of(cast: Cast, operator: Operator) -> str:
    """The address of an operator's page."""
    with isolation.act_as(cast.tenant.pk):
        return f"/admin/operators/operatorstatus/{presence.status_of(operator.pk).pk}/change/"


def held(cast: Cast) -> Conversation:
    """A conversation that Olga holds."""
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        return allocation.claim(cast.olga.pk, row.pk)


def test_shows_what_somebody_was_for_how_long_by_whose_word_and_why(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk):
        PresencePeriod.objects.filter(operator_id=cast.olga.pk).update(started_at=NOON - timedelta(minutes=125), ended_at=NOON)
        PresencePeriod.objects.create(operator=cast.olga, status="AVAILABLE", started_at=NOON)
        grace.change_status(cast.olga.pk, Status.AWAY, cast.tenant, reason="<b>fire drill</b>")

    page = browse(cast.mia).get(page_of(cast, cast.olga)).content.decode()

    lines = [line.partition("</li>")[0] for line in page.split("<li>") if line.startswith(tuple(Status.values))]
    assert lines[0].startswith("AWAY for under a minute, since ")
    assert lines[0].endswith(", by Mia: &lt;b&gt;fire drill&lt;/b&gt;")
    assert lines[2].startswith("AVAILABLE for 2 h 5 min, from ")
    assert f'href="/admin/operators/presenceperiod/?operator__id__exact={cast.olga.pk}"' in page


def test_the_way_to_all_of_it_shows_that_operator_s_alone(cast: Cast, browse: Any) -> None:
    response = browse(cast.mia).get(f"/admin/operators/presenceperiod/?operator__id__exact={cast.olga.pk}")

    assert [row.operator_id for row in response.context["cl"].result_list] == [cast.olga.pk]


def test_a_manager_says_why_and_that_the_work_goes_back_now(cast: Cast, browse: Any, told: Any) -> None:
    row = held(cast)
    browser = browse(cast.mia)

    response = browser.post(page_of(cast, cast.olga), {"status": "OFFLINE", "reason": "fell ill", "release": "now"})

    assert response.status_code == 302, response.context["adminform"].form.errors
    assert cast.again(row).state == "QUEUED"
    kinds = ("operator.status_changed", "conversation.deallocated")
    assert [(event.cause, event.actor_id) for kind in kinds for event in told(cast, kind)] == [("fell ill", cast.mia.pk)] * 2


@pytest.mark.parametrize("release", ["grace", ""])
def test_after_the_grace_period_unless_told_otherwise(cast: Cast, browse: Any, release: str) -> None:
    row = held(cast)

    browse(cast.mia).post(page_of(cast, cast.olga), {"status": "OFFLINE", "reason": "", "release": release})

    assert cast.again(row).assigned_operator_id == cast.olga.pk
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.filter(ended_at__isnull=True).count() == 1


def test_what_is_no_choice_is_refused_beside_it(cast: Cast, browse: Any) -> None:
    form = {"status": "OFFLINE", "reason": "x" * 501, "release": "later"}

    response = browse(cast.mia).post(page_of(cast, cast.olga), form)

    assert set(response.context["adminform"].form.errors) == {"reason", "release"}


def test_whoever_may_only_look_is_asked_nothing(db: None, browse: Any) -> None:
    petra = Operator.objects.create_superuser("staff@platform.example", name="Petra")
    with isolation.act_as(petra.tenant_id):
        row = presence.status_of(petra.pk)

    page = browse(petra).get(f"/admin/operators/operatorstatus/{row.pk}/change/").content.decode()

    assert 'name="reason"' not in page
    assert 'name="release"' not in page


def lost(cast: Cast, *people: Operator) -> None:
    """They held a conversation each, and fell silent."""
    with_leases(cast, 60)
    for person in people:
        row = cast.conversation()
        with isolation.act_as(cast.tenant.pk):
            allocation.claim(person.pk, row.pk)
        silent_for(cast, person, 61)
    silence.declare_lost()


def told_of(operator: Operator, response: Any) -> tuple[str, str | None, int, str | None]:
    """What the list says of somebody: status, why, how many they hold, and for how long."""
    page = PresencePage(OperatorStatus, site)
    (row,) = [row for row in response.context["cl"].result_list if row.operator_id == operator.pk]
    return row.status, page.why(row), page.held(row), page.kept_for(row)


def test_a_manager_sees_who_was_lost_what_they_hold_and_for_how_long_they_keep_it(cast: Cast, browse: Any) -> None:
    lost(cast, cast.otto)

    response = browse(cast.mia).get("/admin/operators/operatorstatus/")

    assert told_of(cast.otto, response) == ("OFFLINE", "lost: no sign of life", 1, "14 min")
    assert "lost: no sign of life" in response.content.decode()


def test_who_left_with_nothing_in_hand_is_not_said_to_be_lost(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(cast.otto.pk, Status.OFFLINE, cast.tenant, reason="lunch")

    response = browse(cast.mia).get("/admin/operators/operatorstatus/")

    assert told_of(cast.otto, response) == ("OFFLINE", "lunch", 0, None)


def test_what_is_overdue_is_kept_until_the_next_tick(cast: Cast, browse: Any) -> None:
    lost(cast, cast.otto)
    with isolation.act_as(cast.tenant.pk):
        GracePeriod.objects.update(opened_at=NOON, expires_at=NOON + timedelta(minutes=15))

    response = browse(cast.mia).get("/admin/operators/operatorstatus/")

    assert told_of(cast.otto, response)[3] == "until the next tick"


@pytest.mark.parametrize("page", ["operatorstatus", "presenceperiod"])
def test_more_rows_take_no_more_statements(page: str, cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)

    def statements() -> int:
        with CaptureQueriesContext(connection) as queries:
            browser.get(f"/admin/operators/{page}/")
        return len(queries)

    lost(cast, cast.otto)
    statements()  # the first one reads what later ones know
    few = statements()
    lost(cast, cast.olga, *(cast.operator() for _ in range(5)))

    assert statements() == few
