"""The demo tenant of the quick start: the same ids, names and numbers everywhere, so that examples can be copied."""

from datetime import timedelta
from typing import NamedTuple

from django.db import connection, models

from convalloc import clock
from convalloc.errors import DomainError
from conversations import allocation, labelling, lifecycle
from conversations.models import Conversation
from labels.models import Label
from operators.models import Operator, Role, Status, Subscription
from tenants import isolation
from tenants.models import Inbox, Tenant

TENANT_ID = 1
TENANT_NAME = "Demo Tenant"
PASSWORD = "convalloc-demo"  # noqa: S105  of the demo accounts, printed at every start

INBOXES = ((1, "Customer Support", "+1234567890"), (2, "Sales Team", "+1234567891"), (3, "Technical Support", "+1234567892"))
OPERATORS = (
    (1, "operator1@example.com", "Operator One", Role.OPERATOR, (1, 2)),
    (2, "operator2@example.com", "Operator Two", Role.OPERATOR, (1, 3)),
    (3, "manager@example.com", "Manager", Role.MANAGER, (1, 2, 3)),
    (4, "admin@example.com", "Admin", Role.ADMIN, (1, 2, 3)),
)
LABELS = (
    (1, 1, "Urgent", "#FF0000"),
    (2, 1, "Billing", "#FFA500"),
    (3, 2, "New Lead", "#00AA00"),
    (4, 2, "VIP", "#800080"),
    (5, 3, "Bug", "#0000FF"),
)


class Sample(NamedTuple):
    """One demo conversation: where, how many messages, and how many minutes ago the last one came."""

    id: int
    inbox_id: int
    message_count: int
    minutes_ago: int
    label_id: int | None = None


CONVERSATIONS = (
    Sample(1, 1, message_count=5, minutes_ago=30, label_id=1),
    Sample(2, 1, message_count=12, minutes_ago=120, label_id=2),
    Sample(3, 2, message_count=3, minutes_ago=15, label_id=3),
    Sample(4, 3, message_count=25, minutes_ago=240, label_id=5),
    Sample(5, 1, message_count=8, minutes_ago=45),  # goes to operator 1
    Sample(6, 2, message_count=1, minutes_ago=1200, label_id=4),
    Sample(7, 3, message_count=15, minutes_ago=90),  # resolved by operator 2
)


class NotADemo(DomainError):
    """Tenant 1 is {name!r}, not the demo: seed_demo touches no real data"""

    code = "not_a_demo"


def seed() -> bool:
    """Create the demo tenant; False when it is already there, which changes nothing. Raises NotADemo."""
    with isolation.act_as(TENANT_ID):
        existing = Tenant.objects.filter(pk=TENANT_ID).first()
        if existing is not None:
            if existing.name != TENANT_NAME:
                raise NotADemo(name=existing.name)
            return False
        tenant = Tenant.objects.create(pk=TENANT_ID, name=TENANT_NAME)
        _people_and_places()
        _conversations(tenant)
        for model, rows in ((Tenant, 1), (Inbox, 3), (Operator, 4), (Label, 5), (Conversation, 7)):
            _skip_ids(model, rows)
    return True


def _people_and_places() -> None:
    for id_, name, phone_number in INBOXES:
        Inbox(pk=id_, name=name, phone_number=phone_number).save(force_insert=True)
    for id_, email, name, role, inboxes in OPERATORS:
        Operator.objects.create_user(email, PASSWORD, status=Status.AVAILABLE, pk=id_, name=name, role=role)
        for inbox_id in inboxes:
            Subscription.objects.create(operator_id=id_, inbox_id=inbox_id)
    for id_, inbox_id, name, color in LABELS:
        Label(pk=id_, inbox_id=inbox_id, name=name, color=color, created_by_id=3).save(force_insert=True)


def _conversations(tenant: Tenant) -> None:
    now = clock.now()
    for sample in CONVERSATIONS:
        last_message_at = now - timedelta(minutes=sample.minutes_ago)
        lifecycle.open_conversation(
            tenant,
            Inbox.objects.get(pk=sample.inbox_id),
            pk=sample.id,
            external_conversation_id=f"ext_conv_{sample.id:03}",
            customer_phone_number=f"+1987654{3209 + sample.id}",
            message_count=sample.message_count,
            last_message_at=last_message_at,
            waiting_since=last_message_at,
        )
        if sample.label_id:
            labelling.attach(sample.id, sample.label_id)
    allocation.claim(operator_id=1, conversation_id=5)
    allocation.claim(operator_id=2, conversation_id=7)
    lifecycle.resolve(7, by=Operator.objects.select_related("tenant").get(pk=2))


def _skip_ids(model: type[models.Model], rows: int) -> None:
    """Let the table's own ids go on after those that were given here."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [model._meta.db_table, rows])
