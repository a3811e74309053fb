"""The demo data of `manage.py seed_demo`, as the README's examples name it."""

import os
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from conversations import demo
from conversations.models import Conversation
from labels.models import Label
from operators.models import Operator
from tenants import isolation
from tenants.models import Inbox, Tenant
from tests.conftest import Api
from tests.contract import witness
from tests.factories import ConversationFactory, InboxFactory, LabelFactory, OperatorFactory, TenantFactory


def seed() -> str:
    """Run the command; what it prints."""
    printed = StringIO()
    call_command("seed_demo", stdout=printed)
    return printed.getvalue()


@pytest.fixture(autouse=True)
def a_quick_hasher(settings: Settings) -> None:
    """Four passwords a test: the real hasher takes its time on purpose."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def seeded(db: None) -> None:
    """The demo tenant."""
    assert seed() == "Demo Tenant: created\n"


def as_operator(api: type[Api], id_: int) -> Api:
    """The API as a demo account."""
    return api(Operator(pk=id_))


def rows(api: type[Api], path: str) -> Any:
    """What the admin is shown."""
    return as_operator(api, 4).get(path).data


def test_the_tenant_has_id_1(seeded: None) -> None:
    with isolation.act_as(1):
        assert Tenant.objects.get().name == "Demo Tenant"


def test_three_inboxes(seeded: None, api: type[Api]) -> None:
    shown = [(row["id"], row["name"], row["phone_number"]) for row in rows(api, "/inboxes")]

    assert shown == [(1, "Customer Support", "+1234567890"), (2, "Sales Team", "+1234567891"), (3, "Technical Support", "+1234567892")]


def test_four_accounts_all_available(seeded: None, api: type[Api]) -> None:
    shown = [(row["id"], row["email"], row["role"], row["status"]) for row in rows(api, "/operators")]

    assert shown == [
        (1, "operator1@example.com", "OPERATOR", "AVAILABLE"),
        (2, "operator2@example.com", "OPERATOR", "AVAILABLE"),
        (3, "manager@example.com", "MANAGER", "AVAILABLE"),
        (4, "admin@example.com", "ADMIN", "AVAILABLE"),
    ]


@pytest.mark.parametrize(("operator", "inboxes"), [(1, [1, 2]), (2, [1, 3]), (3, [1, 2, 3]), (4, [1, 2, 3])])
def test_who_answers_where(seeded: None, api: type[Api], operator: int, inboxes: list[int]) -> None:
    assert [row["id"] for row in rows(api, f"/operators/{operator}/inboxes")] == inboxes


def test_seven_conversations(seeded: None, api: type[Api]) -> None:
    page = rows(api, "/conversations")["conversations"]

    shown = sorted((row["id"], row["external_conversation_id"], row["customer_phone_number"], row["state"]) for row in page)
    states = ["QUEUED", "QUEUED", "QUEUED", "QUEUED", "ALLOCATED", "QUEUED", "RESOLVED"]
    assert shown == [(n, f"ext_conv_{n:03}", f"+1987654{3209 + n}", states[n - 1]) for n in range(1, 8)]
    assert [row["assigned_operator_id"] for row in page if row["state"] == "ALLOCATED"] == [1]


def test_five_labels(seeded: None, api: type[Api]) -> None:
    assert sorted((row["id"], row["inbox_id"]) for row in rows(api, "/labels")) == [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3)]


@pytest.mark.parametrize("email", ["operator1@example.com", "admin@example.com"])
def test_the_accounts_have_the_printed_password(seeded: None, email: str) -> None:
    with isolation.act_as(1):
        assert Operator.objects.get(email=email).check_password("convalloc-demo")


def test_it_runs_twice_without_harm(seeded: None) -> None:
    with isolation.act_as(1):
        tenant = Tenant.objects.get()
    before = witness.everything_of(tenant)

    printed = seed()

    assert printed == "Demo Tenant: already there, left as it is\n"
    assert witness.everything_of(tenant) == before


def test_ids_continue(committed: None) -> None:
    with psycopg.connect(os.environ["DATABASE_OWNER_URL"]) as owner:  # as on a fresh machine: sequences never roll back
        for model in (Tenant, Inbox, Operator, Label, Conversation):
            owner.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), 1, false)", [model._meta.db_table])

    seed()

    with isolation.act_as(1):
        inbox, colleague = InboxFactory.create(), OperatorFactory.create()
        label = LabelFactory.create(inbox=inbox, created_by=colleague)
        conversation = ConversationFactory.create(inbox=inbox)
    assert (TenantFactory.create().pk, inbox.pk, colleague.pk, label.pk, conversation.pk) == (2, 4, 5, 6, 8)


def test_operator_1_allocates_at_once(seeded: None, api: type[Api]) -> None:
    answer = as_operator(api, 1).post("/conversations/allocate", operator_id=1)

    assert (answer.status, answer.data["id"]) == (200, 6)


def test_it_touches_no_real_data(db: None) -> None:
    with isolation.act_as(1):
        Tenant.objects.create(pk=1, name="A customer")

    with pytest.raises(CommandError, match="seed_demo touches no real data"):
        seed()


def test_the_demo_is_the_one_of_the_quick_start() -> None:
    assert (demo.TENANT_ID, demo.TENANT_NAME, demo.PASSWORD) == (1, "Demo Tenant", "convalloc-demo")


def test_in_production_nobody_gets_an_account_whose_password_everybody_knows(settings: Any) -> None:
    settings.DEVELOPMENT = False

    with pytest.raises(CommandError, match="everybody knows"):
        call_command("seed_demo")
