"""What managers and admins change by hand: every change goes through a room, which writes the event or refuses."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from conversations import allocation, labelling, recalculation
from conversations.models import Conversation, ConversationLabel, GracePeriod
from labels.models import Label
from operators import desk, presence
from operators.models import Operator, Role, Status
from tenants import isolation
from tenants.models import Inbox, Tenant
from tests.conftest import Cast
from tests.console.conftest import PASSWORD, sign_in

SETTINGS = {
    "name": "Renamed",
    "priority_alpha": "0.4",
    "priority_beta": "0.6",
    "message_cap": "100",
    "delay_cap_minutes": "1440",
    "waiting_clock": "last_message_at",
    "grace_period_minutes": "15",
    "lease_seconds": "",
    "operator_capacity": "",
    "cooldown_minutes": "5",
    "resolved_conversations_days": "",
    "events_kept_days": "",
}


# --- labels ---------------------------------------------------------------------------------------


def test_a_label_is_added_changed_and_retired(cast: Cast, browse: Any, told: Any) -> None:
    browser = browse(cast.mia)
    row = cast.conversation()

    browser.post("/admin/labels/label/add/", {"inbox": cast.support.pk, "name": "Urgent", "color": "#FF0000"})
    with isolation.act_as(cast.tenant.pk):
        label = Label.objects.get()
        labelling.attach(row.pk, label.pk)
    browser.post(f"/admin/labels/label/{label.pk}/change/", {"name": "Later", "color": "#FF0000"})
    changed = cast.again(label)
    browser.post(f"/admin/labels/label/{label.pk}/delete/", {"post": "yes"})

    assert (label.created_by_id, label.inbox_id, changed.name) == (cast.mia.pk, cast.support.pk, "Later")
    with isolation.act_as(cast.tenant.pk):
        assert not Label.objects.exists()
        assert not ConversationLabel.objects.exists()
    kinds = ("label.created", "label.changed", "label.deleted")
    assert [(event.kind, event.actor_id) for kind in kinds for event in told(cast, kind)] == [(kind, cast.mia.pk) for kind in kinds]


def test_several_labels_are_retired_each_with_its_event(cast: Cast, browse: Any, told: Any) -> None:
    labels = [cast.label(), cast.label()]
    form = {"action": "delete_selected", "_selected_action": [label.pk for label in labels], "post": "yes"}

    browse(cast.mia).post("/admin/labels/label/", form)

    assert {event.subject_id for event in told(cast, "label.deleted")} == {label.pk for label in labels}


def test_a_refusal_comes_back_beside_what_was_typed(cast: Cast, browse: Any, told: Any) -> None:
    cast.label(name="Urgent")

    response = browse(cast.mia).post("/admin/labels/label/add/", {"inbox": cast.support.pk, "name": "Urgent", "color": "#ABCDEF"})

    page = response.content.decode()
    assert response.status_code == 200
    assert "A label with this name already exists in this inbox" in page
    assert 'value="#ABCDEF"' in page
    assert len(told(cast, "label.created")) == 0


@pytest.mark.parametrize("color", ["red", "#FFF", "#GGGGGG", "#FFFFFF\n#", ""])
def test_a_colour_is_rrggbb(cast: Cast, browse: Any, color: str) -> None:
    response = browse(cast.mia).post("/admin/labels/label/add/", {"inbox": cast.support.pk, "name": "Urgent", "color": color})

    assert response.status_code == 200
    assert "color" in response.context["adminform"].form.errors


# --- people -----------------------------------------------------------------------------------------


def account(**changes: Any) -> dict[str, Any]:
    return {"email": "nina@tenant.example", "name": "Nina", "role": "OPERATOR", "is_active": "on", "new_password": "", **changes}


def test_an_admin_hires_with_role_password_and_inboxes(cast: Cast, browse: Any, told: Any, client: Any) -> None:
    form = account(email="Nina@Tenant.Example", role="MANAGER", new_password=PASSWORD, inboxes=[cast.sales.pk])

    response = browse(cast.ada).post("/admin/operators/operator/add/", form)

    assert response.status_code == 302, response.context["adminform"].form.errors
    with isolation.act_as(cast.tenant.pk):
        nina = Operator.objects.get(email="nina@tenant.example")
        assert presence.status_of(nina.pk).status == Status.OFFLINE
        assert list(desk.inboxes_of(nina.pk)) == [cast.sales.pk]
    assert (nina.role, nina.tenant_id) == (Role.MANAGER, cast.tenant.pk)
    assert PASSWORD not in str(told(cast, "operator.created")[0].after)
    assert sign_in(client, nina).status_code == 302


def test_a_taken_address_is_refused_with_the_same_words_whoever_holds_it(cast: Cast, neighbours: Cast, browse: Any) -> None:
    browser = browse(cast.ada)

    answers = [browser.post("/admin/operators/operator/add/", account(email=who.email)) for who in (cast.olga, neighbours.olga)]

    errors = [answer.context["adminform"].form.errors for answer in answers]
    assert errors[0] == errors[1]
    assert "This email address cannot be used" in str(errors[0])


def test_a_weak_password_is_refused(cast: Cast, browse: Any) -> None:
    response = browse(cast.ada).post("/admin/operators/operator/add/", account(new_password="12345678"))

    assert "too common" in str(response.context["adminform"].form.errors["new_password"])


def test_closing_an_account_takes_its_work_the_way_of_an_absence(cast: Cast, browse: Any, told: Any) -> None:
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, row.pk)
    form = account(email=cast.olga.email, name="Olga", inboxes=[cast.support.pk, cast.sales.pk])
    del form["is_active"]

    response = browse(cast.ada).post(f"/admin/operators/operator/{cast.olga.pk}/change/", form)

    assert response.status_code == 302, response.context["adminform"].form.errors
    assert not cast.again(cast.olga).is_active
    with isolation.act_as(cast.tenant.pk):
        assert presence.status_of(cast.olga.pk).status == Status.OFFLINE
        assert GracePeriod.objects.get(ended_at__isnull=True).conversation_id == row.pk
    assert told(cast, "operator.changed")[0].after == {"is_active": False}
    assert told(cast, "operator.inboxes_changed") == []


def test_an_admin_does_not_lock_themselves_out(cast: Cast, browse: Any) -> None:
    browser = browse(cast.ada)
    closed, demoted = account(email=cast.ada.email, name="Ada", role="ADMIN"), account(email=cast.ada.email, name="Ada", role="MANAGER")
    del closed["is_active"]

    answers = [browser.post(f"/admin/operators/operator/{cast.ada.pk}/change/", form) for form in (closed, demoted)]

    for answer in answers:
        assert "You cannot change your own role or close your own account" in answer.content.decode()
    assert (cast.again(cast.ada).role, cast.again(cast.ada).is_active) == (Role.ADMIN, True)


def test_a_manager_changes_where_somebody_answers_and_nothing_of_the_account(cast: Cast, browse: Any, told: Any) -> None:
    form = account(email="stolen@x.example", name="Stolen", role="ADMIN", new_password="a stolen phrase", inboxes=[cast.sales.pk])
    del form["is_active"]
    browser = browse(cast.mia)

    response = browser.post(f"/admin/operators/operator/{cast.otto.pk}/change/", form)
    hiring = browser.post("/admin/operators/operator/add/", account())

    before, after = cast.otto, cast.again(cast.otto)
    assert response.status_code == 302, response.context["adminform"].form.errors
    assert hiring.status_code == 403
    for column in ("email", "name", "role", "is_active", "password"):
        assert getattr(after, column) == getattr(before, column)
    (event,) = told(cast, "operator.inboxes_changed")
    assert (event.before, event.after) == ({"inbox_ids": [cast.support.pk]}, {"inbox_ids": [cast.sales.pk]})


def test_nobody_is_deleted(cast: Cast, browse: Any) -> None:
    response = browse(cast.ada).post(f"/admin/operators/operator/{cast.otto.pk}/delete/", {"post": "yes"})

    assert response.status_code == 403
    assert cast.again(cast.otto).is_active


def test_the_platform_has_admins_alone(db: None, browse: Any) -> None:
    petra = Operator.objects.create_superuser("staff@platform.example")
    browser = browse(petra)

    refused = browser.post("/admin/operators/operator/add/", account(role="OPERATOR"))
    hired = browser.post("/admin/operators/operator/add/", account(role="ADMIN"))

    assert "Select a valid choice" in str(refused.context["adminform"].form.errors["role"])
    assert hired.status_code == 302


def test_a_managers_word_sets_a_status_and_what_follows_for_the_work(cast: Cast, browse: Any, told: Any) -> None:
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, row.pk)
        status = presence.status_of(cast.olga.pk)

    response = browse(cast.mia).post(f"/admin/operators/operatorstatus/{status.pk}/change/", {"status": "OFFLINE"})

    assert response.status_code == 302
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.get(ended_at__isnull=True).operator_id == cast.olga.pk
    assert told(cast, "operator.status_changed")[0].actor_id == cast.mia.pk


# --- the organisation -----------------------------------------------------------------------------------


def test_new_weights_count_up_and_the_next_tick_ranks_the_queue_anew(cast: Cast, browse: Any, told: Any) -> None:
    row = cast.conversation(message_count=10)
    form = SETTINGS | {"name": cast.tenant.name, "priority_alpha": "0.9", "grace_period_minutes": "30"}

    response = browse(cast.ada).post(f"/admin/tenants/tenant/{cast.tenant.pk}/change/", form)

    assert response.status_code == 302, response.context["adminform"].form.errors
    tenant = _tenant(cast)
    assert (tenant.priority_alpha, tenant.weights_version, tenant.ranked_version) == (Decimal("0.9"), 2, 1)
    (event,) = told(cast, "tenant.settings_changed")
    assert event.before == {"priority_alpha": 0.4, "grace_period_minutes": 15}
    assert event.after == {"priority_alpha": 0.9, "grace_period_minutes": 30}
    assert event.actor_id == cast.ada.pk
    recalculation.recalculate(cast.tenant.pk)
    assert _tenant(cast).ranked_version == 2
    again: Conversation = cast.again(row)
    assert timedelta(microseconds=again.credit) == timedelta(minutes=216)


def test_a_change_that_no_rank_rests_on_ranks_nothing_anew(cast: Cast, browse: Any) -> None:
    browse(cast.ada).post(f"/admin/tenants/tenant/{cast.tenant.pk}/change/", SETTINGS | {"grace_period_minutes": "5"})

    tenant = _tenant(cast)
    assert (tenant.name, tenant.grace_period_minutes, tenant.weights_version) == ("Renamed", 5, 1)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"priority_alpha": "0", "priority_beta": "0"},
        {"priority_alpha": "-0.1"},
        {"priority_beta": "100.1"},
        {"priority_alpha": "0.00001"},
        {"priority_alpha": "NaN"},
        {"message_cap": "0"},
        {"delay_cap_minutes": "43201"},
        {"grace_period_minutes": "0"},
        {"lease_seconds": "29"},
        {"resolved_conversations_days": "0"},
        {"events_kept_days": "6"},
        {"waiting_clock": "lunch"},
        {"name": ""},
    ],
)
def test_settings_without_sense_are_refused_with_words(cast: Cast, browse: Any, told: Any, nonsense: dict[str, str]) -> None:
    response = browse(cast.ada).post(f"/admin/tenants/tenant/{cast.tenant.pk}/change/", SETTINGS | nonsense)

    assert response.status_code == 200
    assert response.context["adminform"].form.errors
    assert "is violated" not in response.content.decode()
    assert told(cast, "tenant.settings_changed") == []


def test_a_manager_sees_the_settings_and_leaves_them(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)
    page = f"/admin/tenants/tenant/{cast.tenant.pk}/change/"

    assert browser.get(page).status_code == 200
    assert browser.post(page, SETTINGS).status_code == 403


def test_an_inbox_is_opened_and_given_another_number(cast: Cast, browse: Any, told: Any) -> None:
    browser = browse(cast.ada)

    browser.post("/admin/tenants/inbox/add/", {"name": "Returns", "phone_number": "+15550001111"})
    with isolation.act_as(cast.tenant.pk):
        inbox = Inbox.objects.get(name="Returns")
    browser.post(f"/admin/tenants/inbox/{inbox.pk}/change/", {"name": "Returns", "phone_number": "+15550002222"})
    taken = browser.post(f"/admin/tenants/inbox/{inbox.pk}/change/", {"name": "Returns", "phone_number": cast.support.phone_number})

    assert cast.again(inbox).phone_number == "+15550002222"
    assert "An inbox with this phone number already exists" in taken.content.decode()
    assert [event.after for event in told(cast, "inbox.changed")] == [{"phone_number": "+15550002222"}]


def test_an_inbox_has_its_number_in_one_spelling(cast: Cast, browse: Any) -> None:
    browser = browse(cast.ada)

    browser.post("/admin/tenants/inbox/add/", {"name": "Returns", "phone_number": "+1 (202) 555-0123"})
    again = browser.post("/admin/tenants/inbox/add/", {"name": "Twice", "phone_number": "001-202-555-0123"})

    with isolation.act_as(cast.tenant.pk):
        assert Inbox.objects.get(name="Returns").phone_number == "+12025550123"
    assert "An inbox with this phone number already exists" in again.content.decode()


@pytest.mark.parametrize("number", ["12025550123", "020 7946 0958", "+1", "front desk", "+999123456789"])
def test_an_inbox_takes_no_number_without_its_country(cast: Cast, browse: Any, number: str) -> None:
    page = browse(cast.ada).post("/admin/tenants/inbox/add/", {"name": "Returns", "phone_number": number})

    assert "must be a phone number with its country" in page.content.decode()
    with isolation.act_as(cast.tenant.pk):
        assert not Inbox.objects.filter(name="Returns").exists()


def test_an_inbox_of_before_keeps_its_spelling_until_it_gets_another_number(cast: Cast, browse: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        Inbox.objects.filter(pk=cast.support.pk).update(phone_number="short code 12345")

    browse(cast.ada).post(f"/admin/tenants/inbox/{cast.support.pk}/change/", {"name": "Renamed", "phone_number": "short code 12345"})

    inbox = cast.again(cast.support)
    assert (inbox.name, inbox.phone_number) == ("Renamed", "short code 12345")


# --- the audit ------------------------------------------------------------------------------------------


def test_events_are_found_by_what_they_happened_to(cast: Cast, browse: Any) -> None:
    one, other = cast.conversation(), cast.conversation()
    browser = browse(cast.mia)

    def subjects(term: str) -> set[tuple[str, int]]:
        rows = browser.get("/admin/tenants/event/", {"q": term}).context["cl"].result_list
        return {(row.subject_type, row.subject_id) for row in rows}

    assert subjects(f"conversation {one.pk}") == {("conversation", one.pk)}
    assert subjects(f"Conversation#{other.pk}") == {("conversation", other.pk)}
    assert ("conversation", one.pk) in subjects(str(one.pk))
    assert subjects("nonsense' --") == set()


def test_the_newest_event_stands_first_with_the_name_of_who_did_it(cast: Cast, browse: Any) -> None:
    row = cast.conversation()
    browser = browse(cast.mia)
    browser.post("/admin/conversations/conversation/", {"action": "resolve", "_selected_action": row.pk, "index": 0})

    first = next(iter(browser.get("/admin/tenants/event/").context["cl"].result_list))

    assert (first.kind, first.actor_name) == ("conversation.resolved", "Mia")


def test_a_things_history_is_its_events(cast: Cast, browse: Any) -> None:
    row = cast.conversation()

    response = browse(cast.mia).get(f"/admin/conversations/conversation/{row.pk}/history/")

    assert response["Location"] == f"/admin/tenants/event/?q=conversation+{row.pk}"


def _tenant(cast: Cast) -> Tenant:
    with isolation.act_as(cast.tenant.pk):
        return Tenant.objects.get(pk=cast.tenant.pk)
