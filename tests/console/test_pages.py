"""Every page of every model: who may open it, and that nobody finds a neighbour behind it."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.test import Client

from conversations import allocation, grace, labelling
from conversations.models import Conversation, ReceivedMessage
from operators import rights
from operators.models import (
    ApiKey,
    IdempotencyKey,
    Operator,
    RefreshToken,
    SeenMessage,
    Session,
    SigningKey,
    SigningSecret,
    Status,
    TotpDevice,
)
from tenants import isolation
from tenants.checks import our_models
from tenants.models import PLATFORM_TENANT_ID, Inbox, Tenant, Tick, Webhook, WebhookDelivery
from tests.conftest import Cast
from tests.console.conftest import ids

# The machine's own, for `manage.py doctor`; and what opens something, which nobody reads.
PAGELESS = {
    Tick,
    Session,
    RefreshToken,
    ApiKey,
    SigningKey,
    SigningSecret,
    SeenMessage,
    IdempotencyKey,
    TotpDevice,
    ReceivedMessage,
    Webhook,
    WebhookDelivery,
}
OURS = [model for model in our_models() if model not in PAGELESS]
MISSING = 999_999_999
names = pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)


@pytest.fixture
def platform(db: None) -> Operator:
    """Somebody of the platform's own staff."""
    return Operator.objects.create_superuser("staff@platform.example", name="Petra")


def busy(cast: Cast) -> Cast:
    """A tenant with rows in every table."""
    held, waiting, label = cast.conversation(), cast.conversation(), cast.label(name=f"word of {cast.tenant.name}")
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(waiting.pk, label.pk)
        allocation.claim(cast.olga.pk, held.pk)
        grace.change_status(cast.olga.pk, Status.OFFLINE, cast.tenant)
    return cast


def own(model: Any, cast: Cast) -> Any:
    """Everything that a tenant has of a model; said here once more, in case a wall is down."""
    return model.objects.filter(**{"pk" if model is Tenant else "tenant_id": cast.tenant.pk}).order_by("pk")


def rows_of(model: Any, cast: Cast) -> list[int]:
    """Ids of everything that a tenant has of a model."""
    with isolation.act_as(cast.tenant.pk):
        return list(own(model, cast).values_list("pk", flat=True))


def address(model: Any, page: str = "") -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/{page}"


def right(operator: Operator, model: Any, act: str) -> bool:
    return rights.may(operator.console_rights, f"{model._meta.app_label}.{act}_{model._meta.model_name}")


def test_every_model_has_a_page_and_a_row_in_the_table_of_rights() -> None:
    assert {model._meta.label_lower for model in OURS} == set(rights.CONSOLE)
    assert set(OURS) <= set(admin.site._registry)


@names
@pytest.mark.parametrize("who", ["mia", "ada", "platform"])
def test_every_page_loads_as_far_as_the_role_goes(cast: Cast, platform: Operator, browse: Any, model: Any, who: str) -> None:
    busy(cast)
    operator = platform if who == "platform" else getattr(cast, who)
    browser = browse(operator)
    with isolation.act_as(operator.tenant_id):
        row = model.objects.order_by("pk").first()

    assert browser.get(address(model)).status_code == 200
    assert browser.get(address(model, "add/")).status_code == (200 if right(operator, model, "add") else 403)
    if row is not None:
        assert browser.get(address(model, f"{row.pk}/change/")).status_code == 200
        assert browser.get(address(model, f"{row.pk}/delete/")).status_code == (200 if right(operator, model, "delete") else 403)
        assert browser.get(address(model, f"{row.pk}/history/")).status_code == 302


@names
def test_a_list_shows_the_tenants_own_rows_and_no_others(cast: Cast, neighbours: Cast, browse: Any, model: Any) -> None:
    busy(cast), busy(neighbours)

    response = browse(cast.ada).get(address(model))

    assert ids(response) == set(rows_of(model, cast))
    assert len(ids(response)) > 0


@names
@pytest.mark.parametrize("page", ["change/", "delete/"])
def test_a_neighbours_row_is_as_missing_as_one_that_never_was(cast: Cast, neighbours: Cast, browse: Any, model: Any, page: str) -> None:
    busy(cast), busy(neighbours)
    browser = browse(cast.ada)

    for id_ in rows_of(model, neighbours):
        theirs = visit(browser, address(model, f"{id_}/{page}"), id_)
        assert theirs == visit(browser, address(model, f"{MISSING}/{page}"), MISSING)


@names
def test_writing_to_a_neighbours_row_changes_nothing(cast: Cast, neighbours: Cast, browse: Any, model: Any) -> None:
    busy(cast), busy(neighbours)
    browser = browse(cast.ada)
    before = snapshot(model, neighbours)
    form = {"name": "stolen", "color": "#000000", "status": "OFFLINE", "role": "OPERATOR", "email": "stolen@x.example", "post": "yes"}

    for id_ in rows_of(model, neighbours):
        browser.post(address(model, f"{id_}/change/"), form)
        browser.post(address(model, f"{id_}/delete/"), form)
        for act in ("resolve", "deallocate", "delete_selected"):
            browser.post(address(model), {**form, "action": act, "_selected_action": id_, "index": 0})

    assert snapshot(model, neighbours) == before


def test_dropdowns_and_filters_offer_the_tenants_own_rows_alone(cast: Cast, neighbours: Cast, browse: Any) -> None:
    busy(cast), busy(neighbours)
    browser = browse(cast.ada)
    inboxes, people = rows_of(Inbox, cast), rows_of(Operator, cast)
    chosen = {"_selected_action": rows_of(Conversation, cast)[0], "index": 0}

    assert offered(browser.get("/admin/labels/label/add/")) == inboxes
    assert offered(browser.get("/admin/operators/operator/add/")) == inboxes
    assert offered(browser.get("/admin/conversations/conversation/")) == sorted(inboxes + people)
    assert offered(browser.get("/admin/conversations/assignment/")) == people
    assert offered(browser.post("/admin/conversations/conversation/", {"action": "reassign", **chosen})) == people
    assert offered(browser.post("/admin/conversations/conversation/", {"action": "move", **chosen})) == inboxes


def test_a_neighbours_inbox_cannot_be_smuggled_into_a_form(cast: Cast, neighbours: Cast, browse: Any) -> None:
    browser = browse(cast.ada)

    label = browser.post("/admin/labels/label/add/", {"inbox": neighbours.support.pk, "name": "x", "color": "#123456"})
    hired = browser.post(
        "/admin/operators/operator/add/", {"email": "new@x.example", "role": "OPERATOR", "inboxes": [neighbours.support.pk]}
    )

    assert "Select a valid choice" in label.content.decode()
    assert "Select a valid choice" in hired.content.decode()


def test_the_platforms_staff_see_no_customer(cast: Cast, platform: Operator, browse: Any) -> None:
    busy(cast)
    browser = browse(platform)

    shown = {model.__name__: ids(browser.get(address(model))) for model in OURS}

    assert {name for name, found in shown.items() if found} == {"Operator", "OperatorStatus", "PresencePeriod", "Tenant"}
    assert shown["Operator"] == {platform.pk}
    assert shown["Tenant"] == {PLATFORM_TENANT_ID}


def test_operators_have_no_rights_at_all(cast: Cast) -> None:
    for model in OURS:
        for act in ("view", "add", "change", "delete", "direct"):
            assert not cast.olga.has_perm(f"{model._meta.app_label}.{act}_{model._meta.model_name}")


def test_a_closed_account_has_no_rights_at_all(cast: Cast) -> None:
    cast.ada.is_active = False

    assert not cast.ada.has_perm("tenants.view_tenant")
    assert not cast.ada.has_module_perms("tenants")


def offered(response: Any) -> list[int]:
    """The ids among the choices of a page, in order of size."""
    choices = re.findall(r'<option value="([0-9]+)"|name="inboxes" value="([0-9]+)"', response.content.decode())
    return sorted(int(option or box) for option, box in choices)


def visit(browser: Client, path: str, id_: int) -> tuple[Any, ...]:
    """What a page answers, without the id that was asked for."""
    response = browser.get(path, follow=True)
    told = " | ".join(str(message) for message in response.context["messages"])
    return response.status_code, response.redirect_chain, told.replace(str(id_), "ID")


def snapshot(model: Any, cast: Cast) -> list[Any]:
    """Every row of a tenant, with all its columns."""
    with isolation.act_as(cast.tenant.pk):
        return list(own(model, cast).values())
