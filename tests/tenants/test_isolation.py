"""The first wall: the ORM refuses to run without a tenant, and the binding goes exactly as far as its scope."""

import contextlib
import os
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction

from conversations.models import Conversation, ConversationLabel
from labels.models import Label
from operators.models import Operator, OperatorStatus
from tenants import eventlog, isolation
from tenants.checks import owned_models
from tenants.isolation import NoTenant
from tenants.models import Inbox, TenantOwned
from tests.conftest import Api, Cast, assemble

UNSCOPED: dict[str, Callable[[Cast], Any]] = {
    "all": lambda cast: Inbox.objects.all(),
    "filter": lambda cast: Inbox.objects.filter(pk=cast.support.pk),
    "get": lambda cast: Inbox.objects.get(pk=cast.support.pk),
    "count": lambda cast: Inbox.objects.count(),
    "create": lambda cast: Inbox.objects.create(name="x", phone_number="+1"),
    "get_or_create": lambda cast: Inbox.objects.get_or_create(name="x", phone_number="+1"),
    "bulk_create": lambda cast: Inbox.objects.bulk_create([Inbox(tenant=cast.tenant, name="x", phone_number="+1")]),
    "bulk_update": lambda cast: Inbox.objects.bulk_update([cast.support], ["name"]),
    "update": lambda cast: Inbox.objects.update(name="x"),
    "raw": lambda cast: list(Inbox.objects.raw("SELECT * FROM inboxes")),
    "save of a row": lambda cast: cast.support.save(update_fields=["name"]),
    "save of a new row": lambda cast: Inbox(name="x", phone_number="+1").save(),
    "save of a new row that names its tenant": lambda cast: Inbox(tenant=cast.tenant, name="x", phone_number="+1").save(),
    "delete of a row": lambda cast: cast.support.delete(),
    "delete of a row that nothing refers to": lambda cast: ConversationLabel(pk=1, tenant=cast.tenant).delete(),
    "refresh of a row": lambda cast: cast.support.refresh_from_db(),
    "following a reference": lambda cast: OperatorStatus(operator_id=cast.olga.pk).operator,
    "an account's manager": lambda cast: Operator.objects.create_user("x@tenant.example"),
    "an account by name": lambda cast: Operator.objects.get_by_natural_key(cast.olga.email),
    "an event": lambda cast: eventlog.append("x", cast.support),
    "the event log": lambda cast: eventlog.read(),
}


def bound_in_postgres() -> str | None:
    """The tenant that row level security reads now; empty or None when there is none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.tenant_id', true)")
        (bound,) = cursor.fetchone()
    return bound or None


def bound() -> tuple[int | None, str | None]:
    """The tenant bound in the ORM, and the one bound in Postgres."""
    try:
        return isolation.current_tenant_id(), bound_in_postgres()
    except NoTenant:
        return None, bound_in_postgres()


@pytest.mark.parametrize("attempt", UNSCOPED)
def test_without_a_tenant_the_orm_refuses(attempt: str, cast: Cast) -> None:
    with pytest.raises(NoTenant):
        UNSCOPED[attempt](cast)


@pytest.mark.parametrize("model", owned_models())
def test_every_way_into_an_owned_model_asks_for_a_tenant(model: type[TenantOwned]) -> None:
    for manager in (model.objects, model._default_manager, model._base_manager):
        with pytest.raises(NoTenant):
            manager.all()


def test_a_query_built_for_one_tenant_finds_nothing_as_another(cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        ours = Inbox.objects.all()

    with isolation.act_as(neighbours.tenant.pk):
        assert list(ours) == []


def test_another_tenants_row_is_neither_saved_nor_deleted(cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        for act in (neighbours.support.save, neighbours.support.delete):
            with pytest.raises(NoTenant):
                act()


def test_another_tenants_row_does_not_exist_for_the_orm(cast: Cast, neighbours: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        assert not Inbox.objects.filter(pk=neighbours.support.pk).exists()
        assert Inbox.objects.filter(pk=neighbours.support.pk).update(name="taken") == 0
        with pytest.raises(Operator.DoesNotExist):
            _ = OperatorStatus(operator_id=neighbours.olga.pk).operator


def test_acting_as_a_tenant_ends_with_its_scope(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        assert bound() == (cast.tenant.pk, str(cast.tenant.pk))

    assert bound() == (None, None)


def test_scopes_nest_and_give_back_what_was_bound(cast: Cast, neighbours: Cast) -> None:
    ours, theirs = cast.tenant.pk, neighbours.tenant.pk
    with isolation.act_as(ours):
        with isolation.act_as(theirs):
            assert bound() == (theirs, str(theirs))
            with isolation.act_as(ours):
                assert bound() == (ours, str(ours))
            assert bound() == (theirs, str(theirs))

        assert bound() == (ours, str(ours))
        assert Inbox.objects.count() == 2


@pytest.mark.parametrize("problem", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_exception_gives_back_what_was_bound(problem: BaseException, cast: Cast, neighbours: Cast) -> None:
    ours = cast.tenant.pk
    with isolation.act_as(ours):
        with pytest.raises(type(problem)), isolation.act_as(neighbours.tenant.pk):
            raise problem

        assert bound() == (ours, str(ours))


def test_a_refusal_of_the_database_gives_back_what_was_bound(cast: Cast, neighbours: Cast) -> None:
    ours = cast.tenant.pk
    with isolation.act_as(ours):
        with pytest.raises(IntegrityError), isolation.act_as(neighbours.tenant.pk):
            Inbox.objects.create(name="twice", phone_number=neighbours.support.phone_number)

        assert bound() == (ours, str(ours))


def test_a_rolled_back_scope_gives_back_what_was_bound(cast: Cast, neighbours: Cast) -> None:
    ours = cast.tenant.pk
    with isolation.act_as(ours):
        with isolation.act_as(neighbours.tenant.pk):
            transaction.set_rollback(True)

        assert bound() == (ours, str(ours))


def test_savepoints_inside_a_scope_keep_its_tenant(cast: Cast) -> None:
    ours = cast.tenant.pk
    with isolation.act_as(ours):
        with contextlib.suppress(ValueError), transaction.atomic():
            raise ValueError

        assert bound() == (ours, str(ours))


def test_a_tenant_entered_in_a_savepoint_that_rolls_back_is_seen_by_nobody(cast: Cast, neighbours: Cast) -> None:
    with isolation.transaction_without_tenant():
        with contextlib.suppress(ValueError), transaction.atomic():
            isolation.enter(neighbours.tenant.pk)
            raise ValueError

        assert bound_in_postgres() is None
        assert list(Inbox.objects.all()) == []  # the ORM still asks for that tenant; Postgres shows nothing


def test_a_room_without_tenant_hides_the_outer_tenant_from_raw_sql_too(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        with isolation.transaction_without_tenant(), connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM inboxes")
            assert cursor.fetchone() == (0,)
            with pytest.raises(NoTenant):
                Inbox.objects.all()

        assert bound() == (cast.tenant.pk, str(cast.tenant.pk))


@pytest.mark.usefixtures("committed")
def test_entering_a_tenant_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="SET LOCAL needs an open transaction"):
        isolation.enter(1)

    assert bound() == (None, None)


def test_a_tenant_is_a_number_and_never_text(cast: Cast) -> None:
    with pytest.raises(ValueError, match="invalid literal"), isolation.act_as("1'; DROP TABLE tenants; --"):  # type: ignore[arg-type]
        pass


@pytest.mark.usefixtures("committed")
def test_a_pooled_connection_carries_nothing_over_from_a_request() -> None:
    cast = assemble()
    connection.close()
    Api(cast.mia).get("/conversations")
    assert connection.connection is not None, "the request closed its connection: this would prove nothing"
    session = connection.connection.info.backend_pid

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid(), current_setting('app.tenant_id', true), (SELECT count(*) FROM operators)")
        assert cursor.fetchone() == (session, "", 0)
    assert bound() == (None, None)


@pytest.mark.usefixtures("committed")
def test_a_session_setting_would_have_carried_over() -> None:
    """The control: SET without LOCAL shows the next user of the connection the last one's rows."""
    cast = assemble()

    with psycopg.connect(os.environ["DATABASE_URL"]) as pooled:
        pooled.execute(f"SET app.{'tenant_id'} = '{cast.tenant.pk}'")
        pooled.commit()

        assert pooled.execute("SELECT count(*) FROM inboxes").fetchone() == (2,)


@pytest.mark.usefixtures("committed")
def test_threads_do_not_share_a_tenant() -> None:
    cast = assemble()
    found: list[tuple[int | None, str | None]] = []

    def look() -> None:
        found.append(bound())
        connection.close()

    with isolation.act_as(cast.tenant.pk):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert found == [(None, None)]


def test_a_bulk_row_of_another_tenant_is_refused_by_the_database(cast: Cast, neighbours: Cast) -> None:
    row = Label(tenant=neighbours.tenant, inbox=neighbours.support, name="x", color="#000000", created_by=neighbours.mia)

    with isolation.act_as(cast.tenant.pk), pytest.raises(Exception, match="row-level security"), transaction.atomic():
        Label.objects.bulk_create([row])


def test_a_join_stays_inside_the_tenant(cast: Cast, neighbours: Cast) -> None:
    theirs = neighbours.conversation()

    with isolation.act_as(cast.tenant.pk):
        assert not Conversation.objects.filter(inbox__name="Support", pk=theirs.pk).exists()
        assert not Conversation.objects.filter(inbox__phone_number=neighbours.support.phone_number).exists()
