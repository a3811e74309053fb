"""How much an operator may hold, in all and of each inbox, set on the operator's page by managers and admins."""

from typing import Any

import pytest

from conversations import allocation
from operators import desk
from operators.models import Operator
from tenants import isolation
from tenants.models import Inbox, Tenant
from tests.conftest import Cast


def page(operator: Operator) -> str:
    return f"/admin/operators/operator/{operator.pk}/change/"


def filled(cast: Cast, operator: Operator, **fields: Any) -> dict[str, Any]:
    """An operator's page as it is, with other values in some fields."""
    with isolation.act_as(cast.tenant.pk):
        inboxes = list(desk.inboxes_of(operator.pk))
    account = {"email": operator.email, "name": operator.name, "role": operator.role, "is_active": "on", "new_password": ""}
    return {**account, "inboxes": inboxes, **fields}


def limits(cast: Cast, operator: Operator) -> tuple[int | None, dict[str, int | None]]:
    """In all, and at each inbox by its name."""
    with isolation.act_as(cast.tenant.pk):
        return cast.again(operator).capacity, {seat.inbox.name: seat.capacity for seat in desk.seats_of(operator.pk)}


@pytest.mark.parametrize("who", ["mia", "ada"])
def test_managers_and_admins_set_both_kinds_of_limit(cast: Cast, browse: Any, told: Any, who: str) -> None:
    sent = {"capacity": "5", f"limit_{cast.support.pk}": "2", f"limit_{cast.sales.pk}": ""}
    by: Operator = getattr(cast, who)

    response = browse(by).post(page(cast.olga), filled(cast, cast.olga, **sent))

    assert response.status_code == 302, response.context["adminform"].form.errors
    assert limits(cast, cast.olga) == (5, {"Sales": None, "Support": 2})
    (event,) = told(cast, "operator.limits_changed")
    assert (event.actor_id, event.subject_id) == (by.pk, cast.olga.pk)
    assert event.after == {"capacity": 5, "inboxes": [{"inbox_id": cast.support.pk, "capacity": 2}]}


def test_the_page_shows_what_is_set_and_what_an_empty_field_means(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        desk.limit(cast.otto.pk, own=5, inboxes={cast.support.pk: 2})
    browser = browse(cast.mia)

    without = browser.get(page(cast.otto)).context["adminform"].form
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(operator_capacity=8)
    response = browser.get(page(cast.otto))

    form = response.context["adminform"].form
    assert "no limit, as the organisation sets none" in without.fields["capacity"].help_text
    assert "Empty: the organisation's number, 8." in response.content.decode()
    assert (form["capacity"].value(), form[f"limit_{cast.support.pk}"].value()) == (5, 2)
    assert form[f"limit_{cast.support.pk}"].label == "Support"
    assert f'name="limit_{cast.support.pk}"' in response.content.decode()
    assert f"limit_{cast.sales.pk}" not in form.fields


def test_an_inbox_s_name_is_no_part_of_the_page(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        Inbox.objects.filter(pk=cast.support.pk).update(name="<script>alert(1)</script>")

    response = browse(cast.mia).get(page(cast.otto))

    assert "&lt;script&gt;alert(1)" in response.content.decode()
    assert "<script>alert(1)" not in response.content.decode()


def test_an_emptied_field_takes_the_limit_away(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        desk.limit(cast.otto.pk, own=5, inboxes={cast.support.pk: 2})

    browse(cast.mia).post(page(cast.otto), filled(cast, cast.otto, capacity="", **{f"limit_{cast.support.pk}": ""}))

    assert limits(cast, cast.otto) == (None, {"Support": None})


def test_a_page_that_did_not_have_a_field_leaves_its_limit(cast: Cast, browse: Any, told: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        desk.limit(cast.olga.pk, own=5, inboxes={cast.support.pk: 2, cast.sales.pk: 3})

    browse(cast.mia).post(page(cast.olga), filled(cast, cast.olga, **{f"limit_{cast.support.pk}": "1"}))

    assert limits(cast, cast.olga) == (5, {"Sales": 3, "Support": 1})


def test_saving_what_is_appends_no_event(cast: Cast, browse: Any, told: Any) -> None:
    sent = {"capacity": "5", f"limit_{cast.support.pk}": "2"}
    browser = browse(cast.mia)

    for _ in range(2):
        browser.post(page(cast.otto), filled(cast, cast.otto, **sent))

    assert len(told(cast, "operator.limits_changed")) == 1


@pytest.mark.parametrize("nonsense", ["-1", "10001", "many", "1.5", "9" * 5000, "\0"])
@pytest.mark.parametrize("field", ["capacity", "inbox"])
def test_what_is_no_limit_is_told_at_its_field(cast: Cast, browse: Any, told: Any, field: str, nonsense: str) -> None:
    name = field if field == "capacity" else f"limit_{cast.support.pk}"

    response = browse(cast.mia).post(page(cast.otto), filled(cast, cast.otto, **{name: nonsense}))

    assert response.status_code == 200
    assert list(response.context["adminform"].form.errors) == [name]
    assert limits(cast, cast.otto) == (None, {"Support": None})
    assert told(cast, "operator.limits_changed") == []


def test_an_inbox_that_is_left_takes_its_limit_along_and_a_new_one_has_none(cast: Cast, browse: Any) -> None:
    sent = {"inboxes": [cast.sales.pk], "capacity": "4", f"limit_{cast.support.pk}": "2", f"limit_{cast.sales.pk}": "3"}

    response = browse(cast.mia).post(page(cast.otto), filled(cast, cast.otto, **sent))

    assert response.status_code == 302, response.context["adminform"].form.errors
    assert limits(cast, cast.otto) == (4, {"Sales": None})


def test_a_new_account_may_have_a_limit_from_the_start(cast: Cast, browse: Any, told: Any) -> None:
    form = {"email": "nina@tenant.example", "name": "Nina", "role": "OPERATOR", "inboxes": [cast.sales.pk], "capacity": "0"}

    response = browse(cast.ada).post("/admin/operators/operator/add/", form)

    assert response.status_code == 302, response.context["adminform"].form.errors
    with isolation.act_as(cast.tenant.pk):
        nina = Operator.objects.get(email="nina@tenant.example")
    assert limits(cast, nina) == (0, {"Sales": None})
    assert [event.after for event in told(cast, "operator.limits_changed")] == [{"capacity": 0}]


def test_a_lower_limit_takes_nothing_away(cast: Cast, browse: Any) -> None:
    rows = [cast.conversation(), cast.conversation()]
    with isolation.act_as(cast.tenant.pk):
        for row in rows:
            allocation.claim(cast.otto.pk, row.pk)

    browse(cast.mia).post(page(cast.otto), filled(cast, cast.otto, capacity="1"))

    assert [cast.again(row).assigned_operator_id for row in rows] == [cast.otto.pk] * 2


def test_the_platform_s_staff_have_no_limits_to_set(db: None, browse: Any) -> None:
    petra = Operator.objects.create_superuser("staff@platform.example")

    form = browse(petra).get(page(petra)).context["adminform"].form

    assert "capacity" not in form.fields
