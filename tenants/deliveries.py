"""What is on its way to webhooks: an event is written down as soon as the log is final there, and tried until somebody has it.

One who sends takes a delivery for LEASE; who is not back by then counts as dead, and the next one sends it again: at least once,
under the same id. Of ten tries within 75 hours, as Standard Webhooks has them, the last one is the end.
Locks: a webhook before its deliveries, which are taken by SKIP LOCKED, in the order in which they are due.
"""

import random
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import F, QuerySet
from django.db.models.functions import Now

from convalloc import clock
from convalloc.errors import Missing
from convalloc.outbound import Answer
from tenants import eventlog, webhooks
from tenants.errors import PositionExpired
from tenants.models import Event, Webhook, WebhookDelivery

State = WebhookDelivery.State
LEASE = timedelta(seconds=60)
# Seconds after each try but the last, each a tenth longer or shorter by chance: what failed together does not come back together.
DELAYS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.1
TRIES = len(DELAYS) + 1
READ_AT_ONCE = 500  # events
KEPT = timedelta(days=30)  # what is over, for whoever looks what became of it; longer than a message is tried
GONE = 410
FORGOTTEN = Answer(None, "forgotten", 0)  # the log has, meanwhile


class Parcel(NamedTuple):
    """A delivery that was taken, and the event in it; None: the log has forgotten it."""

    id: int
    lease: int
    event: Event | None


def plan(webhook_id: int, limit: int = READ_AT_ONCE) -> bool:
    """Read the log on for a webhook and write down what is to be sent to it; whether there is more to read already.

    The place in the log and the deliveries change in one transaction: nothing is skipped, and nothing is sent that was rolled back.
    Where the log has forgotten what comes next, it goes on from what is kept. Returns False also while another one reads.
    """
    webhook = webhooks.free(webhook_id)
    if webhook is None:
        return False
    try:
        page = eventlog.page(webhooks.position(webhook), limit, kinds=webhooks.wanted(webhook))
    except PositionExpired as problem:
        after = eventlog.parse(str(problem.details["kept_from"]))
        page = eventlog.page(after, limit, kinds=webhooks.wanted(webhook))
    _write_down(webhook, page.events)
    if page.next_after != webhooks.position(webhook):
        webhook.read_transaction, webhook.read_id = page.next_after
        webhook.save(update_fields=["read_transaction", "read_id"])
    return page.has_more


def take(webhook_id: int, limit: int) -> list[Parcel]:
    """Up to so many that are due, for whoever calls, until LEASE is over. None where the webhook is stopped."""
    due = WebhookDelivery.objects.filter(webhook_id=webhook_id, state=State.PENDING, due_at__lte=clock.now())
    served = due.filter(webhook__stopped_at=None).order_by("due_at", "pk")
    ids = list(served.select_for_update(of=("self",), no_key=True, skip_locked=True).values_list("pk", flat=True)[:limit])
    WebhookDelivery.objects.filter(pk__in=ids, state=State.PENDING).update(lease=F("lease") + 1, due_at=Now() + LEASE)
    rows = list(WebhookDelivery.objects.filter(pk__in=ids).order_by("pk"))
    events = Event.objects.in_bulk([row.event_id for row in rows])
    return [Parcel(row.pk, row.lease, events.get(row.event_id)) for row in rows]


def give_back(parcel: Parcel) -> None:
    """It was not tried after all: it is due as before."""
    WebhookDelivery.objects.filter(pk=parcel.id, lease=parcel.lease, state=State.PENDING).update(due_at=Now())


def note(webhook_id: int, parcel: Parcel, answer: Answer) -> None:
    """Write down how a try went, and what follows: it is done, is to be tried again, or is given up. 410 stops the webhook.

    So does what was given up when nothing else got through since it was first tried. Of a delivery that another one has taken
    meanwhile, or that is gone with its webhook, nothing is written.
    """
    webhook = _locked_webhook(webhook_id)
    row = WebhookDelivery.objects.select_for_update(no_key=True).filter(pk=parcel.id, lease=parcel.lease, state=State.PENDING).first()
    if webhook is None or row is None:
        return
    now = clock.now()
    row.attempts += 1
    row.tries = [*row.tries, {"at": clock.instant(now), **answer._asdict()}][-2 * TRIES :]  # of a replay before, too
    over = answer.status == GONE or answer == FORGOTTEN or row.attempts >= TRIES
    if answer.is_good or over:
        row.state, row.ended_at = State.DELIVERED if answer.is_good else State.FAILED, now
    else:
        row.due_at = now + delay(row.attempts)
    row.save(update_fields=["attempts", "tries", "state", "ended_at", "due_at"])
    if answer.status == GONE:
        webhooks.stop(webhook, Webhook.Stopped.GONE)
    elif row.attempts >= TRIES and not answer.is_good and not _got_through(row):
        webhooks.stop(webhook, Webhook.Stopped.FAILING)


def delay(attempts: int) -> timedelta:
    """How long to wait after so many tries, of TRIES - 1 at most."""
    return timedelta(seconds=DELAYS[attempts - 1] * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311  no secret


def log_of(webhook_id: int, beyond: int | None, limit: int, state: str = "") -> QuerySet[WebhookDelivery]:
    """A webhook's deliveries, those of the newest events first, from below an event's id. Raises Missing."""
    rows = WebhookDelivery.objects.filter(webhook=webhooks.find(webhook_id))
    rows = rows.filter(state=state) if state else rows
    return (rows if beyond is None else rows.filter(event_id__lt=beyond)).order_by("-event_id")[:limit]


def retry(webhook_id: int, delivery_id: int) -> WebhookDelivery:
    """Try it now, whatever became of it; it has all its tries again. Raises Missing."""
    webhooks.lock(webhook_id)
    row: WebhookDelivery | None = (
        WebhookDelivery.objects.select_for_update(no_key=True).filter(pk=delivery_id, webhook_id=webhook_id).first()
    )
    if row is None:
        raise Missing(what="Delivery", sought=[delivery_id])
    row.state, row.attempts, row.ended_at, row.due_at, row.lease = State.PENDING, 0, None, clock.now(), row.lease + 1
    row.save(update_fields=["state", "attempts", "ended_at", "due_at", "lease"])
    return row


def forget_old(limit: int) -> int:
    """Forget up to so many of the bound tenant's that were over KEPT ago; how many."""
    old = WebhookDelivery.objects.filter(ended_at__lt=clock.now() - KEPT).order_by("ended_at").values_list("pk", flat=True)[:limit]
    deleted, _ = WebhookDelivery.objects.filter(pk__in=list(old)).delete()
    return deleted


def described(row: WebhookDelivery) -> dict[str, Any]:
    """A delivery as clients know it."""
    last = row.tries[-1] if row.tries else {}
    plain = {name: getattr(row, name) for name in ("id", "event_id", "kind", "state", "attempts", "tries", "created_at", "ended_at")}
    due = {"next_try_at": row.due_at if row.state == State.PENDING else None}
    return plain | due | {"last_status": last.get("status"), "last_error": last.get("error", "")}


def _write_down(webhook: Webhook, events: list[Event]) -> None:
    """A delivery for each. What was sent already, and comes again by a replay, begins anew."""
    now = clock.now()
    rows = [WebhookDelivery(tenant_id=webhook.tenant_id, webhook=webhook, event_id=e.pk, kind=e.kind, due_at=now) for e in events]
    WebhookDelivery.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "webhook", "event_id"],
        update_fields=["state", "due_at", "attempts", "ended_at"],
    )


def _locked_webhook(webhook_id: int) -> Webhook | None:
    try:
        return webhooks.lock(webhook_id)
    except Missing:
        return None


def _got_through(row: WebhookDelivery) -> bool:
    """Whether the webhook took anything since this one was first tried."""
    rows = WebhookDelivery.objects.filter(webhook_id=row.webhook_id, state=State.DELIVERED)
    return rows.filter(ended_at__gt=row.tries[-TRIES]["at"]).exists()
