"""The pages of presence: what somebody was, for how long, by whose word and why; and a manager's word."""

from datetime import UTC, datetime, timedelta
from typing import Any

from conversations import grace
from operators import presence
from operators.models import Operator, PresencePeriod, Status
from tenants import eventlog, isolation
from tests.conftest import Cast

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def page_of(cast: Cast, operator: Operator) -> str:
    """The address of an operator's page."""
    with isolation.act_as(cast.tenant.pk):
        return f"/admin/operators/operatorstatus/{presence.status_of(operator.pk).pk}/change/"


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
