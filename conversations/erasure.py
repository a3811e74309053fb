"""Customers forgotten: on request, or so many days after their conversation was resolved.

Where their number stood, a stand-in stands (conversations.contacts); an external id that holds the number gives way; so do the
reasons that people gave for what they did with the conversation. On request the number is sought in all that people write, too.
What happened, when, and by whom stays in the audit, and every erasure is told there, with the keyed hash of whose it was.

Short transactions of their own, so none of this may be called inside one. Harmless to repeat, and at any time: what is
erased is not found again. The conversation goes on as it was. docs/privacy.md lists what is kept where.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.admin.models import LogEntry
from django.db import connection, models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Left

from convalloc import clock
from conversations import queue
from conversations.contacts import Contact
from conversations.errors import NumberOfAnInbox
from conversations.models import STAND_IN, Conversation, GracePeriod
from labels.models import Label
from operators.models import PresencePeriod
from tenants import eventlog, isolation, rounds
from tenants.models import Event, Inbox, Tenant

ROUND = 500  # conversations of one transaction: whoever wants one of them waits for so long
WINDOW = 5000  # rows that one transaction looks through for a number
TURN_SECONDS = 45.0  # of a task: the next one goes on where this one stopped
# What people write beside the event log, in which they may have named a number. The console's log quotes the names of things.
NOTES: dict[type[models.Model], tuple[str, ...]] = {
    PresencePeriod: ("reason",),
    GracePeriod: ("reason",),
    Label: ("name",),
    LogEntry: ("object_repr", "change_message"),
}

WRITTEN_IN: tuple[type[models.Model], ...] = (Event, *NOTES)
NOT_FORGOTTEN = ~Q(customer_phone_number__startswith=STAND_IN)

Progress = Callable[[int], object]

ERASED = "conversation.erased"
ERASE = f"""
    WITH erased AS (
        UPDATE conversations c
           SET customer_phone_number = f.stand_in, version = c.version + 1, updated_at = clock_timestamp(),
               external_conversation_id = CASE WHEN c.external_conversation_id ~ number_in_text(f.country, f.national)
                                               THEN 'erased-' || c.id ELSE c.external_conversation_id END
          FROM unnest(%(ids)s::bigint[], %(numbers)s::text[], %(stand_ins)s::text[], %(fingerprints)s::text[], %(countries)s::text[],
                      %(nationals)s::text[]) AS f (id, number, stand_in, fingerprint, country, national)
         WHERE c.tenant_id = %(tenant_id)s AND c.id = f.id AND c.customer_phone_number = f.number
        RETURNING c.*, f.fingerprint
    ), told AS ({
    eventlog.append_sql(
        f"'{ERASED}'",
        "conversation",
        subject_id="id",
        before="jsonb_build_object('version', version - 1)",
        after="jsonb_build_object('customer_phone_number', customer_phone_number, 'version', version)",
        cause="'contact ' || fingerprint",
        rows="erased",
    )
})
    SELECT count(*) FROM erased
"""


class Counts(NamedTuple):
    """What gave way: numbers of conversations, and texts. `before`: conversations that this customer is forgotten in already."""

    conversations: int = 0
    texts: int = 0
    before: int = 0

    @property
    def found(self) -> bool:
        """Whether anything gave way."""
        return bool(self.conversations or self.texts)

    def of_a_tick(self) -> dict[str, int]:
        """As tenants.ticks writes it down."""
        return {"conversations": self.conversations, "texts": self.texts}

    def and_(self, more: "Counts") -> "Counts":
        """Both together."""
        return Counts(*(one + other for one, other in zip(self, more, strict=True)))


def erase_contact(tenant_id: int, spelled: str, *, dry_run: bool = False, progress: Progress = lambda rows: None) -> tuple[Contact, Counts]:
    """Forget the customer with this number; who they are from now on, and what gave way.

    A `dry_run` changes nothing, and counts a text twice that gives way for two reasons. `progress` hears how many rows were
    looked at. What somebody writes meanwhile is found by repeating it. Raises NumberOfAnInbox.
    """
    contact = Contact.of(tenant_id, spelled)
    theirs = Q(customer_phone_number__in=contact.spellings) & NOT_FORGOTTEN
    with isolation.act_as(tenant_id):
        if Inbox.objects.filter(phone_number__in=contact.spellings).exists():
            raise NumberOfAnInbox
        before = Conversation.objects.filter(customer_phone_number__in=[contact.stand_in, *contact.former]).count()
    counts = Counts(before=before)
    for ids in _batches(tenant_id, Conversation, ROUND, theirs):
        with _kept_unless(dry_run, tenant_id):
            counts = counts.and_(erase(ids, theirs))
    for model in WRITTEN_IN:
        for ids in _batches(tenant_id, model, WINDOW):
            with _kept_unless(dry_run, tenant_id):
                counts = counts.and_(Counts(texts=_erase_number(model, ids, contact)))
            progress(len(ids))
    if not dry_run:  # nothing found is told too: a call that was interrupted before this line may have found it all
        with isolation.act_as(tenant_id):
            told = {"contact": contact.fingerprint} | counts._asdict()
            eventlog.append("contact.erased", Tenant.objects.get(pk=tenant_id), after=told)
    return contact, counts


def size(tenant_id: int) -> int:
    """How many rows of a tenant an erasure looks through for texts."""
    with isolation.act_as(tenant_id):
        return sum(model._default_manager.count() for model in WRITTEN_IN)


def erase_old(limit: int = ROUND, until: float = math.inf) -> Counts:
    """In every tenant that has set a time: forget whose conversation was resolved longer ago, in rounds of at most `limit`.

    A round of each tenant, then the next of those that have more, so that nobody's backlog keeps others waiting. No round begins
    after `until` (of time.monotonic): the next call goes on. What somebody holds is left for it, too.
    """
    counts = Counts()
    waiting, again = rounds.with_retention(), list[int]()

    def forget(tenant_id: int) -> None:
        nonlocal counts
        with isolation.act_as(tenant_id):
            due = due_in(Tenant.objects.get(pk=tenant_id), clock.now())
            ids = list(Conversation.objects.filter(due).order_by("resolved_at", "pk").values_list("pk", flat=True)[:limit])
            erased = erase(ids, due, wait=False)
        counts = counts.and_(erased)
        if len(ids) == limit and erased.conversations:
            again.append(tenant_id)

    while waiting:
        rounds.visit(waiting, forget, until)
        waiting, again = again, []
    return counts


def due_in(tenant: Tenant, now: datetime) -> Q:
    """Which conversations of a tenant were resolved so long ago that their customers are to be forgotten."""
    if tenant.resolved_conversations_days is None:
        return Q(pk__in=[])
    resolved_before = now - timedelta(days=tenant.resolved_conversations_days)
    return Q(resolved_at__isnull=False, resolved_at__lte=resolved_before) & NOT_FORGOTTEN


def erase(ids: Sequence[int], still: Q, *, wait: bool = True) -> Counts:
    """Put stand-ins into those of these conversations that are `still` so once they are locked, and take the reasons from their timelines.

    Under the lock no act on the conversation is under way that could still write a reason, or has read the number.
    """
    held = queue.hold_many(ids, wait=wait)
    numbers = dict(Conversation.objects.filter(still, pk__in=held).values_list("pk", "customer_phone_number"))
    tenant_id = isolation.current_tenant_id()
    contacts = [Contact.of(tenant_id, number) for number in numbers.values()]
    parameters: dict[str, Any] = {
        "tenant_id": tenant_id,
        "ids": list(numbers),
        "numbers": list(numbers.values()),
        "stand_ins": [contact.stand_in for contact in contacts],
        "fingerprints": [contact.fingerprint for contact in contacts],
        "countries": [contact.in_text[0] for contact in contacts],
        "nationals": [contact.in_text[1] for contact in contacts],
    }
    with connection.cursor() as cursor:
        cursor.execute(ERASE, parameters | eventlog.origin())
        (conversations,) = cursor.fetchone()
        cursor.execute("SELECT erase_words(%s)", [list(numbers)])
        (words,) = cursor.fetchone()
    return Counts(conversations, words)


def _erase_number(model: type[models.Model], ids: Sequence[int], contact: Contact) -> int:
    """Put the stand-in where the number stands in a text of these rows; how many of them had it."""
    country, national = contact.in_text
    with connection.cursor() as cursor:
        if model is Event:
            cursor.execute("SELECT erase_number(%s, %s, %s, %s, %s)", [country, national, contact.stand_in, ids[0] - 1, ids[-1]])
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT number_in_text(%s, %s)", [country, national])
        (sought,) = cursor.fetchone()
    if sought is None:
        return 0
    named = Q(*((f"{column}__regex", sought) for column in NOTES[model]), _connector=Q.OR)
    if model is Label:
        return _rename(Label.objects.filter(named, pk__in=ids), sought, contact.stand_in)
    rows = model._default_manager.filter(named, pk__in=ids)
    return rows.update(**{column: _without(model, column, sought, contact.stand_in) for column in NOTES[model]})


def _rename(rows: models.QuerySet[Label], sought: str, stand_in: str) -> int:
    """One after another: words of an inbox that differed in the number's spelling alone are told apart by our id from now on."""
    renamed = list(rows.annotate(wished=_without(Label, "name", sought, stand_in)).order_by("pk").values_list("pk", "inbox_id", "wished"))
    for pk, inbox_id, wished in renamed:
        taken = Label.objects.filter(inbox_id=inbox_id, name=wished).exclude(pk=pk).exists()
        Label.objects.filter(pk=pk).update(name=f"{wished[:80]} ({pk})" if taken else wished)
    return len(renamed)


def _without(model: type[models.Model], column: str, sought: str, stand_in: str) -> Any:
    replaced = Func(F(column), Value(sought), Value(stand_in), Value("g"), function="regexp_replace")
    longest = model._meta.get_field(column).max_length  # type: ignore[union-attr]
    return Left(replaced, longest) if longest else replaced


def _batches(tenant_id: int, model: type[models.Model], size: int, which: Q = Q()) -> Iterator[list[int]]:  # noqa: B008  immutable
    """Ids of a tenant's rows, ascending, so many at a time; each is looked for when it is asked for."""
    ids = [0] * size
    while len(ids) == size:
        with isolation.act_as(tenant_id):
            ids = list(model._default_manager.filter(which, pk__gt=ids[-1]).order_by("pk").values_list("pk", flat=True)[:size])
        if ids:
            yield ids


@contextmanager
def _kept_unless(dry_run: bool, tenant_id: int) -> Iterator[None]:
    """One transaction as this tenant, which is rolled back at its end when it was a rehearsal."""
    with isolation.act_as(tenant_id):
        yield
        if dry_run:
            transaction.set_rollback(True)
