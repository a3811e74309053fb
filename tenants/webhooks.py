"""Webhooks: where a tenant's events are sent. Made by administrators; what is on its way to them is tenants.deliveries' affair.

A webhook reads the log from a position of its own (read_transaction, read_id), so that it misses nothing, however slow the
transaction that wrote it, and hears of nothing that was rolled back. One that is stopped keeps its place, and goes on from there.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet

from convalloc import clock, outbound, standard_webhooks, vault
from convalloc.errors import Missing
from tenants import eventlog, tuning
from tenants.errors import BadUrl, EnoughWebhooks, WebhookStopped
from tenants.eventlog import Position
from tenants.kinds import FOR_ADMINS, KINDS
from tenants.models import Event, Webhook, WebhookDelivery

MOST = 20  # of a tenant, stopped ones too
FORMER_SIGNS = timedelta(hours=24)  # after its secret was replaced: the receiver has that long to learn the new one
TESTED = "webhook.tested"  # stands in the log as any event, and goes to the one webhook that is tried out
SENT = sorted(KINDS.keys() - {TESTED})  # kinds that a webhook can be told of besides
BY_HAND = Webhook.Stopped.BY_HAND


def make(url: str, *, description: str = "", kinds: Iterable[str] = (), payload: str = Webhook.Payload.THIN) -> tuple[Webhook, str]:
    """A new webhook, which hears of what happens from now on, and its secret's text, which is not told again.

    Raises BadUrl, EnoughWebhooks.
    """
    _refuse_bad(url)
    tuning.lock()
    if Webhook.objects.count() >= MOST:
        raise EnoughWebhooks(limit=MOST)
    secret, (transaction, id_) = standard_webhooks.fresh(), eventlog.end()
    webhook: Webhook = Webhook.objects.create(
        url=url,
        description=description,
        kinds=sorted(set(kinds)),
        payload=payload,
        sealed=vault.seal(secret),
        read_transaction=transaction,
        read_id=id_,
    )
    eventlog.append("webhook.created", webhook, after=facts(webhook))
    return webhook, standard_webhooks.spelled(secret)


def all_of_them() -> QuerySet[Webhook]:
    """Every webhook of the tenant, the newest first, stopped ones too."""
    return Webhook.objects.order_by("-pk")


def find(webhook_id: int) -> Webhook:
    """The webhook. Raises Missing."""
    return _there(Webhook.objects.filter(pk=webhook_id).first(), webhook_id)


def lock(webhook_id: int) -> Webhook:
    """The webhook, locked: before any of its deliveries. Raises Missing."""
    return _there(Webhook.objects.select_for_update(no_key=True).filter(pk=webhook_id).first(), webhook_id)


def free(webhook_id: int) -> Webhook | None:
    """The webhook, locked, if it is served and nobody else has it at the moment."""
    served = Webhook.objects.filter(pk=webhook_id, stopped_at=None)
    webhook: Webhook | None = served.select_for_update(no_key=True, skip_locked=True).first()
    return webhook


def change(webhook_id: int, *, enabled: bool | None = None, **wished: Any) -> Webhook:
    """Another url, description, kinds or payload; stop it, or let it go on from where it stood. What is not named stays.

    Other kinds hold for what it has not read yet. Raises Missing, BadUrl.
    """
    if "url" in wished:
        _refuse_bad(wished["url"])
    webhook = lock(webhook_id)
    before = facts(webhook)
    for name, value in wished.items():
        setattr(webhook, name, sorted(set(value)) if name == "kinds" else value)
    if enabled is not None and enabled != (webhook.stopped_at is None):
        webhook.stopped_at, webhook.stopped_because = (None, "") if enabled else (clock.now(), BY_HAND)
    after = facts(webhook)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        webhook.save(update_fields=["url", "description", "kinds", "payload", "stopped_at", "stopped_because"])
        was, is_ = ({name: state[name] for name in changed} for state in (before, after))
        eventlog.append("webhook.changed", webhook, before=was, after=is_)
    return webhook


def stop(webhook: Webhook, because: Webhook.Stopped) -> None:
    """It is not served any more, of its receiver's doing. The caller has its lock."""
    if webhook.stopped_at is None:
        before = facts(webhook)
        webhook.stopped_at, webhook.stopped_because = clock.now(), because
        webhook.save(update_fields=["stopped_at", "stopped_because"])
        names, after = ("enabled", "stopped_because"), facts(webhook)
        eventlog.append(
            "webhook.stopped", webhook, before={name: before[name] for name in names}, after={name: after[name] for name in names}
        )


def remove(webhook_id: int) -> None:
    """It is gone, and with it what was on its way there. Raises Missing."""
    webhook = lock(webhook_id)
    eventlog.append("webhook.deleted", webhook, before=facts(webhook))
    WebhookDelivery.objects.filter(webhook=webhook).delete()
    webhook.delete()


def replace_secret(webhook_id: int) -> tuple[Webhook, str]:
    """Another secret, and its text, which is not told again. The former one signs too, for FORMER_SIGNS. Raises Missing."""
    webhook, secret = lock(webhook_id), standard_webhooks.fresh()
    webhook.former_sealed, webhook.former_until = webhook.sealed, clock.now() + FORMER_SIGNS
    webhook.sealed = vault.seal(secret)
    webhook.save(update_fields=["sealed", "former_sealed", "former_until"])
    eventlog.append("webhook.secret_replaced", webhook)
    return webhook, standard_webhooks.spelled(secret)


def try_out(webhook_id: int) -> WebhookDelivery:
    """Send it an event of its own, whichever kinds it gets. Raises Missing, WebhookStopped."""
    webhook = lock(webhook_id)
    if webhook.stopped_at is not None:
        raise WebhookStopped
    eventlog.append(TESTED, webhook)
    event = Event.objects.filter(kind=TESTED, subject_type="webhook", subject_id=webhook.pk).latest("pk")
    delivery: WebhookDelivery = WebhookDelivery.objects.create(webhook=webhook, event_id=event.pk, kind=TESTED, due_at=clock.now())
    return delivery


def replay(webhook_id: int, after: Position | None) -> Webhook:
    """Send again what came after this position of the log, under the same ids; None: leave out what it has not read yet.

    Raises Missing, BadPosition, PositionExpired.
    """
    webhook = lock(webhook_id)
    if after is not None:
        eventlog.page(after, 1)  # whether there is such a position
    before = position(webhook)
    webhook.read_transaction, webhook.read_id = eventlog.end() if after is None else after
    webhook.save(update_fields=["read_transaction", "read_id"])
    places = [{"position": eventlog.spell(place)} for place in (before, position(webhook))]
    eventlog.append("webhook.replayed", webhook, before=places[0], after=places[1])
    return webhook


def position(webhook: Webhook) -> Position:
    """Up to where it has read the log."""
    return webhook.read_transaction, webhook.read_id


def wanted(webhook: Webhook) -> set[str]:
    """The kinds that it is told of."""
    return set(webhook.kinds) or KINDS.keys() - FOR_ADMINS


def keys(webhook: Webhook) -> list[bytes]:
    """What its messages are signed with. Raises vault.Unreadable."""
    former = [webhook.former_sealed] if webhook.former_until and clock.now() < webhook.former_until else []
    return [vault.open_(sealed) for sealed in (webhook.sealed, *former)]


def facts(webhook: Webhook) -> dict[str, Any]:
    """What can be chosen of a webhook, as events and the API tell it."""
    plain = {name: getattr(webhook, name) for name in ("url", "description", "kinds", "payload")}
    return plain | {"enabled": webhook.stopped_at is None, "stopped_because": str(webhook.stopped_because)}


def described(webhook: Webhook) -> dict[str, Any]:
    """A webhook as clients know it."""
    told = {"id": webhook.pk, **facts(webhook), "position": eventlog.spell(position(webhook))}
    return told | {name: getattr(webhook, name) for name in ("stopped_at", "former_until", "created_at")}


def _refuse_bad(url: str) -> None:
    try:
        outbound.refuse_bad(url)
    except outbound.Refused as problem:
        raise BadUrl(fields={"url": f'"url" {problem}'}) from problem


def _there(webhook: Webhook | None, webhook_id: int) -> Webhook:
    if webhook is None:
        raise Missing(what="Webhook", sought=[webhook_id])
    return webhook
