"""Rows for tests, made through the rooms where a room makes them. Use inside isolation.act_as."""

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone

from conversations import lifecycle
from conversations.models import Conversation
from labels.models import Label
from operators.models import Operator, Role, Status, Subscription
from tenants import founding, isolation
from tenants.models import Inbox, Tenant


class TenantFactory(factory.django.DjangoModelFactory[Tenant]):
    class Meta:
        model = Tenant

    name = factory.Sequence(lambda n: f"Tenant {n}")

    @classmethod
    def _create(cls, model_class: type[Tenant], *args: Any, **kwargs: Any) -> Tenant:
        return founding.found(**kwargs)


class InboxFactory(factory.django.DjangoModelFactory[Inbox]):
    class Meta:
        model = Inbox

    name = factory.Sequence(lambda n: f"Inbox {n}")
    phone_number = factory.Sequence(lambda n: f"+1555{n:07}")


class OperatorFactory(factory.django.DjangoModelFactory[Operator]):
    """An available operator who answers at `inboxes`; without a password, which takes time to hash."""

    class Meta:
        model = Operator

    email = factory.Sequence(lambda n: f"operator{n}@tenant.example")
    name = factory.Sequence(lambda n: f"Operator {n}")
    role = Role.OPERATOR
    status = Status.AVAILABLE
    inboxes: Any = ()

    @classmethod
    def _create(cls, model_class: type[Operator], *args: Any, inboxes: Any = (), **kwargs: Any) -> Operator:
        operator = Operator.objects.create_user(**kwargs)
        for inbox in inboxes:
            Subscription.objects.create(operator=operator, inbox=inbox)
        return operator


class LabelFactory(factory.django.DjangoModelFactory[Label]):
    class Meta:
        model = Label

    name = factory.Sequence(lambda n: f"label {n}")
    color = "#336699"


class ConversationFactory(factory.django.DjangoModelFactory[Conversation]):
    """A conversation that waits in `inbox` since `minutes_ago`."""

    class Meta:
        model = Conversation

    external_conversation_id = factory.Sequence(lambda n: f"ext_{n}")
    customer_phone_number = factory.Sequence(lambda n: f"+1987{n:07}")
    message_count = 1
    minutes_ago = 10.0

    @classmethod
    def _create(cls, model_class: type[Conversation], *args: Any, minutes_ago: float = 10.0, **kwargs: Any) -> Conversation:
        kwargs.setdefault("last_message_at", timezone.now() - timedelta(minutes=minutes_ago))
        tenant = Tenant.objects.get(pk=isolation.current_tenant_id())
        return lifecycle.open_conversation(tenant, **kwargs)
