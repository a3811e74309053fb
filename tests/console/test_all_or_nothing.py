"""Every write of the console, with each of its statements failing in turn: it does all of it or nothing, and can be sent again."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.urls import reverse

from conversations import labelling
from conversations.models import GracePeriod
from labels.models import Label
from operators import presence
from tenants import isolation
from tests.conftest import Cast, assemble
from tests.console.conftest import PASSWORD, give_password, sign_in
from tests.console.test_changes import SETTINGS, account
from tests.console.test_limits import filled
from tests.contract import witness
from tests.contract.failing import faults
from tests.contract.ways import absent, at_work
from tests.conversations import invariants

Form = tuple[str, dict[str, Any]]  # where it goes, and what it says
LIST = reverse("admin:conversations_conversation_changelist")
GRACE = reverse("admin:conversations_graceperiod_changelist")


def change(row: Any) -> str:
    """The page of a row."""
    return reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])


def worn(cast: Cast) -> Label:
    """A label that a conversation wears."""
    label: Label = cast.label()
    row = cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
    return label


def chosen(act: str, rows: list[Any], **choice: Any) -> dict[str, Any]:
    """An act on rows of a list; a choice is made on the page that asks for it."""
    return {"action": act, "_selected_action": [row.pk for row in rows], **choice, **({"apply": 1} if choice else {"index": 0})}


def status(cast: Cast, operator: Any, said: str, **more: str) -> Form:
    with isolation.act_as(cast.tenant.pk):
        return change(presence.status_of(operator.pk)), {"status": said, "reason": "", "release": "grace", **more}


# --- each on a stage of its own, sent by Ada ----------------------------------------------------------


def resolve(cast: Cast) -> Form:
    return LIST, chosen("resolve", [witness.held(cast, cast.olga), cast.conversation()])


def deallocate(cast: Cast) -> Form:
    return LIST, chosen("deallocate", [witness.held(cast, cast.olga), witness.held(cast, cast.otto)])


def reassign(cast: Cast) -> Form:
    return LIST, chosen("reassign", [witness.held(cast, cast.olga), witness.held(cast, cast.olga)], operator=cast.otto.pk)


def move(cast: Cast) -> Form:
    return LIST, chosen("move", [witness.held(cast, cast.olga), cast.conversation()], inbox=cast.sales.pk)


def grace_of_two(cast: Cast) -> list[GracePeriod]:
    """Otto's, who is away."""
    absent(cast)
    with isolation.act_as(cast.tenant.pk):
        return list(GracePeriod.objects.filter(ended_at=None))


def extend_some_grace(cast: Cast) -> Form:
    return GRACE, chosen("extend", grace_of_two(cast), minutes=5, reason="on the train")


def end_some_grace(cast: Cast) -> Form:
    return GRACE, chosen("expire_now", grace_of_two(cast), reason="will not come back today")


def add_a_label(cast: Cast) -> Form:
    return reverse("admin:labels_label_add"), {"inbox": cast.support.pk, "name": "Urgent", "color": "#FF0000"}


def change_a_label(cast: Cast) -> Form:
    return change(cast.label()), {"name": "Later", "color": "#FF0000"}


def retire_a_label(cast: Cast) -> Form:
    return reverse("admin:labels_label_delete", args=[worn(cast).pk]), {"post": "yes"}


def retire_several_labels(cast: Cast) -> Form:
    return reverse("admin:labels_label_changelist"), chosen("delete_selected", [worn(cast), cast.label()]) | {"post": "yes"}


def hire(cast: Cast) -> Form:
    return reverse("admin:operators_operator_add"), account(new_password=PASSWORD, inboxes=[cast.sales.pk], capacity="3")


def change_everything_of_an_account(cast: Cast) -> Form:
    sent = {"name": "Otto II", "new_password": PASSWORD, "inboxes": [cast.support.pk, cast.sales.pk], f"limit_{cast.support.pk}": "2"}
    return change(cast.otto), filled(cast, cast.otto, capacity="5", **sent)


def close_an_account(cast: Cast) -> Form:
    form = filled(cast, at_work(cast))
    del form["is_active"]
    return change(cast.otto), form


def send_somebody_home(cast: Cast) -> Form:
    return status(cast, at_work(cast), "OFFLINE", reason="fell ill")


def send_somebody_home_without_their_work(cast: Cast) -> Form:
    return status(cast, at_work(cast), "OFFLINE", release="now")


def fetch_somebody_back(cast: Cast) -> Form:
    return status(cast, absent(cast), "AVAILABLE")


def change_the_settings(cast: Cast) -> Form:
    return change(cast.tenant), SETTINGS | {"priority_alpha": "0.9", "lease_seconds": "60", "operator_capacity": "4"}


def open_an_inbox(cast: Cast) -> Form:
    return reverse("admin:tenants_inbox_add"), {"name": "Returns", "phone_number": "+15550001111"}


def change_an_inbox(cast: Cast) -> Form:
    return change(cast.support), {"name": "Returns", "phone_number": "+15550001111"}


def change_ones_own_password(cast: Cast) -> Form:
    new = "another passable phrase"
    return reverse("admin:password_change"), {"old_password": PASSWORD, "new_password1": new, "new_password2": new}


WRITES: dict[Callable[[Cast], Form], str] = {  # to what it is a write of the console
    resolve: "conversation resolve",
    deallocate: "conversation deallocate",
    reassign: "conversation reassign",
    move: "conversation move",
    extend_some_grace: "graceperiod extend",
    end_some_grace: "graceperiod expire_now",
    add_a_label: "label add",
    change_a_label: "label change",
    retire_a_label: "label delete",
    retire_several_labels: "label delete_selected",
    hire: "operator add",
    change_everything_of_an_account: "operator change",
    close_an_account: "operator change",
    send_somebody_home: "operatorstatus change",
    send_somebody_home_without_their_work: "operatorstatus change",
    fetch_somebody_back: "operatorstatus change",
    change_the_settings: "tenant change",
    open_an_inbox: "inbox add",
    change_an_inbox: "inbox change",
    change_ones_own_password: "password change",
}


def test_every_write_of_the_console_is_among_them(cast: Cast) -> None:
    request = RequestFactory().get("/admin/")
    request.user = cast.ada
    offered = {"password change"}

    for model, page in admin.site._registry.items():
        acts = [act for act in ("add", "change", "delete") if getattr(page, f"has_{act}_permission")(request)]
        offered |= {f"{model._meta.model_name} {act}" for act in [*acts, *page.get_actions(request)]}

    assert set(WRITES.values()) == offered


def everything_of(cast: Cast) -> dict[str, Any]:
    """With what the console itself writes down: its log, and who is signed in."""
    with isolation.act_as(cast.tenant.pk):
        rows = {model: list(model.objects.order_by("pk").values()) for model in (LogEntry, Session)}
        return witness.everything_of(cast.tenant) | {model._meta.db_table: found for model, found in rows.items()}


def adas_browser(cast: Cast) -> Client:
    """She is signed in, and sees error pages as people do."""
    browser = Client(raise_request_exception=False)
    assert sign_in(browser, give_password(cast.ada)).status_code == 302
    return browser


SAVED_BY_PARTS = (deallocate, change_everything_of_an_account, change_ones_own_password)  # row by row, room by room, with the session
ASKED = [(write, "refused") for write in WRITES] + [(write, "connection lost") for write in SAVED_BY_PARTS]


@pytest.mark.parametrize(("write", "fault"), ASKED, ids=lambda value: getattr(value, "__name__", value))
def test_a_form_with_a_fault_at_any_statement_changes_nothing_and_succeeds_when_sent_again(
    committed: None, write: Callable[[Cast], Form], fault: str
) -> None:
    cast = assemble()
    browser, form = adas_browser(cast), write(cast)
    before = everything_of(cast)

    *failed, done = faults(fault, lambda: browser.post(*form), lambda: everything_of(cast))

    assert {answer.status_code for answer, _ in failed} == {503}
    assert [after for _, after in failed if after != before] == []
    assert len(failed) > 10
    assert done[0].status_code == 302
    assert done[1] != before
    invariants.assert_all(cast)


def test_control_where_each_statement_is_kept_a_fault_leaves_half_a_change(committed: None) -> None:
    cast = assemble()
    browser, form = adas_browser(cast), deallocate(cast)
    before = everything_of(cast)

    *failed, _ = faults("refused", lambda: browser.post(*form), lambda: everything_of(cast), keeping=True)

    assert [after for _, after in failed if after != before] != []
