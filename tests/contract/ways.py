"""Ways to write that one call of each route does not go: the branches of a room, each on a stage of its own, asked for by Ada."""

from collections.abc import Callable
from typing import Any

from conversations import grace, labelling
from operators import desk, sessions, staff
from operators.models import Operator, Status
from tenants import isolation
from tests.conftest import Cast
from tests.contract.witness import held, kept, subscribe

Question = tuple[str, str, Any]  # method, path and body
Way = Callable[[Cast], Question]
PASSWORD = "correct horse battery"
FORCED = {"force": True, "reason": "nobody else speaks Frisian"}


def _act(act: str, **body: Any) -> Question:
    return "POST", f"/conversations/{act}", body


def _status(operator: Operator, **body: Any) -> Question:
    return "PUT", f"/operators/{operator.pk}/status", body


def _tenant(**settings: Any) -> Question:
    return "PATCH", "/tenant", settings


def leave(cast: Cast, operator: Operator) -> None:
    with isolation.act_as(cast.tenant.pk):
        grace.change_status(operator.pk, Status.OFFLINE, cast.tenant)


def at_work(cast: Cast) -> Operator:
    """Otto, who holds two conversations."""
    for _ in range(2):
        held(cast, cast.otto)
    return cast.otto


def absent(cast: Cast) -> Operator:
    """Otto, who is away from two conversations, which he keeps for now."""
    held(cast, cast.otto)
    kept(cast, cast.otto)
    return cast.otto


def kept_by(cast: Cast, operator: Operator) -> int:
    """A conversation of somebody who is away. It wears a label that sales lacks, and one that it has."""
    row, labels = kept(cast, operator), [cast.label(), cast.label(name="urgent")]
    cast.label(name="urgent", inbox=cast.sales)
    with isolation.act_as(cast.tenant.pk):
        for label in labels:
            labelling.attach(row.conversation_id, label.pk)
    return row.conversation_id


# --- presence -------------------------------------------------------------------------------------


def leave_work_behind(cast: Cast) -> Question:
    return _status(at_work(cast), status="OFFLINE", reason="end of shift")


def leave_work_to_the_queue(cast: Cast) -> Question:
    return _status(at_work(cast), status="OFFLINE", release="now")


def leave_it_to_the_queue_after_all(cast: Cast) -> Question:
    return _status(absent(cast), status="OFFLINE", release="now")


def come_back(cast: Cast) -> Question:
    return _status(absent(cast), status="AVAILABLE")


# --- taking ---------------------------------------------------------------------------------------


def take_several(cast: Cast) -> Question:
    subscribe(cast, cast.ada, cast.support)
    for _ in range(4):
        cast.conversation()
    return _act("allocate", operator_id=cast.ada.pk, count=3)


def take_several_where_an_inbox_has_a_limit(cast: Cast) -> Question:
    question = take_several(cast)
    with isolation.act_as(cast.tenant.pk):
        desk.limit(cast.ada.pk, inboxes={cast.support.pk: 2})
    return question


def be_given_by_force_what_one_keeps_for_now(cast: Cast) -> Question:
    leave(cast, cast.otto)
    return _act("manager-allocate", operator_id=cast.otto.pk, conversation_id=cast.conversation().pk, **FORCED)


def take_over_by_force_while_absent(cast: Cast) -> Question:
    leave(cast, cast.otto)
    return _act("reassign", operator_id=cast.otto.pk, conversation_id=held(cast, cast.olga).pk, **FORCED)


# --- what somebody keeps while they are away -------------------------------------------------------


def take_over_what_is_kept(cast: Cast) -> Question:
    return _act("reassign", operator_id=cast.olga.pk, conversation_id=kept_by(cast, cast.otto))


def resolve_what_is_kept(cast: Cast) -> Question:
    return _act("resolve", conversation_id=kept_by(cast, cast.otto))


def take_back_what_is_kept(cast: Cast) -> Question:
    return _act("deallocate", conversation_id=kept_by(cast, cast.otto))


def give_back_what_one_keeps(cast: Cast) -> Question:
    return _act("release", conversation_id=kept_by(cast, cast.ada), reason="will not be back")


def move_what_is_kept_with_its_labels(cast: Cast) -> Question:
    return _act("move-inbox", conversation_id=kept_by(cast, cast.otto), inbox_id=cast.sales.pk)


# --- the tenant and its words ----------------------------------------------------------------------


def weigh_anew(cast: Cast) -> Question:
    return _tenant(priority_alpha=0.8, priority_beta=0.2)


def limit_everybody(cast: Cast) -> Question:
    return _tenant(operator_capacity=4, cooldown_minutes=9)


def begin_leases(cast: Cast) -> Question:
    return _tenant(lease_seconds=60)


def retire_a_word_that_is_worn(cast: Cast) -> Question:
    label, row = cast.label(), cast.conversation()
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
    return "DELETE", f"/labels/{label.pk}", None


def sign_in(cast: Cast) -> Question:
    with isolation.act_as(cast.tenant.pk):
        email = staff.set_password(cast.olga.pk, PASSWORD).email
    return "POST", "/auth/token", {"email": email, "password": PASSWORD}


def go_on(cast: Cast) -> Question:
    _, _, credentials = sign_in(cast)
    granted = sessions.begin(credentials["email"], PASSWORD, "203.0.113.7")
    return "POST", "/auth/refresh", {"refresh_token": granted.refresh_token}


def sign_out(cast: Cast) -> Question:
    _, _, held_token = go_on(cast)
    return "POST", "/auth/logout", held_token


WAYS: tuple[Way, ...] = (
    sign_in,
    go_on,
    sign_out,
    leave_work_behind,
    leave_work_to_the_queue,
    leave_it_to_the_queue_after_all,
    come_back,
    take_several,
    take_several_where_an_inbox_has_a_limit,
    be_given_by_force_what_one_keeps_for_now,
    take_over_by_force_while_absent,
    take_over_what_is_kept,
    resolve_what_is_kept,
    take_back_what_is_kept,
    give_back_what_one_keeps,
    move_what_is_kept_with_its_labels,
    weigh_anew,
    limit_everybody,
    begin_leases,
    retire_a_word_that_is_worn,
)
