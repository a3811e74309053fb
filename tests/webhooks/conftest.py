"""A receiver on loopback, where webhooks may lead in these tests, and a tenant with a webhook that leads there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tenants import isolation, sending
from tenants.models import Event, Webhook, WebhookDelivery
from tests.conftest import Api, Cast, assemble
from tests.tenants.test_feed import wait_until_final
from tests.webhooks.receiver import LOOPBACK, Receiver, receiving


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    """A receiver that we may send to."""
    settings.WEBHOOK_NETWORKS = LOOPBACK
    with receiving() as receiver:
        yield receiver


@dataclass
class Hooked:
    """A tenant with a webhook, and its receiver."""

    cast: Cast
    receiver: Receiver
    id: int
    secret: str

    def call(self, method: str, path: str = "", **body: Any) -> Any:
        """A call about the webhook, as Ada; what it answers."""
        answer = Api(self.cast.ada).call(method, f"/webhooks/{self.id}{path}", body or None)
        assert answer.status in (200, 201), answer.body
        return answer.data

    def deliveries(self) -> list[dict[str, Any]]:
        """What the API tells of them, the oldest first."""
        found: list[dict[str, Any]] = self.call("GET", "/deliveries?limit=100")
        return found[::-1]

    def row(self) -> Webhook:
        """The webhook as it is."""
        with isolation.act_as(self.cast.tenant.pk):
            found: Webhook = Webhook.objects.get(pk=self.id)
        return found

    def event_ids(self, *kinds: str) -> list[int]:
        """Ids of the tenant's events of these kinds."""
        with isolation.act_as(self.cast.tenant.pk):
            return list(Event.objects.filter(kind__in=kinds).order_by("pk").values_list("pk", flat=True))

    def send(self) -> dict[str, int]:
        """A turn, once everything that happened is final: other tests' transactions on the same server can be open still."""
        wait_until_final(self.cast)
        return sending.send()

    def later(self, **time: float) -> None:
        """Everything that waits is due by so much sooner."""
        with isolation.act_as(self.cast.tenant.pk):
            for row in WebhookDelivery.objects.filter(state="pending"):
                row.due_at -= timedelta(**time)
                row.save(update_fields=["due_at"])


def hooked(cast: Cast, receiver: Receiver, **choice: Any) -> Hooked:
    """A webhook of this tenant that leads to this receiver, and is told of nothing that happened before."""
    wait_until_final(cast)
    answer = Api(cast.ada).post("/webhooks", url=receiver.url, **choice)
    assert answer.status == 201, answer.body
    return Hooked(cast, receiver, answer.data["id"], answer.data["secret"])


@pytest.fixture
def hook(committed: None, receiver: Receiver) -> Hooked:
    """A webhook that is told of everything."""
    return hooked(assemble(), receiver)
