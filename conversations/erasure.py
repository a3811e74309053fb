"""Customers forgotten: on request, or so many days after their conversation was resolved.

Where their number stood, a stand-in stands (conversations.contacts); the ids that the messaging system gave to their threads and
messages give way to keyed digests, and so do the reasons that people gave for what they did with the conversation. On request
the number is sought in all that people write, too. A message that was counted is still known, should it come again; a new one
opens a new conversation.
What happened, when, and by whom stays in the audit, and every erasure is told there, with the keyed hash of whose it was.

Short transactions of their own, so none of this may be called inside one. Harmless to repeat, and at any time: what is
erased is not found again. The conversation goes on as it was. docs/privacy.md lists what is kept where.
"""

import math
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Func, Q, Value
from django.db.models.functions import Left

from convalloc import clock
from conversations import queue
from conversations.contacts import Contact, digests, name_of_thread
from conversations.errors import NumberOfAnInbox
from conversations.models import STAND_IN, Conversation, GracePeriod, ReceivedMessage
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

LABEL_TAKEN = "label_name_once_per_inbox"
ERASED = "conversation.erased"
# What both were before, nobody is told.
FORGOTTEN = """jsonb_build_object('customer_phone_number', customer_phone_number, 'version', version,
                                  'external_conversation_id', external_conversation_id)"""
ERASE = f"""
    WITH erased AS (
        UPDATE conversations c
           SET customer_phone_number = f.stand_in, version = c.version + 1, updated_at = clock_timestamp(),
               external_conversation_id = f.name
          FROM unnest(%(ids)s::bigint[], %(numbers)s::text[], %(stand_ins)s::text[], %(fingerprints)s::text[], %(names)s::text[])
               AS f (id, number, stand_in, fingerprint, name)
         WHERE c.tenant_id = %(tenant_id)s AND c.id = f.id AND c.customer_phone_number = f.number
        RETURNING c.*, f.fingerprint
    ), told AS ({
    eventlog.append_sql(
        f"'{ERASED}'",
        "conversation",
        subject_id="id",
        before="jsonb_build_object('version', version - 1)",
        after=FORGOTTEN,
        cause="'contact ' || fingerprint",
        rows="erased",
    )
})
    SELECT count(*) FROM erased
"""
RENAME_MESSAGES = """
    UPDATE received_messages m SET message_id = f.digest FROM unnest(%(ids)s::bigint[], %(digests)s::text[]) AS f (id, digest)
     WHERE m.tenant_id = %(tenant_id)s AND m.id = f.id
"""


class Counts(NamedTuple):
    """What gave way: numbers of conversations, and texts. `before`: conversations that this customer is forgotten in already.

    `left`: what is due still: conversations that somebody held, and tenants whose turn did not come.
    """

    conversations: int = 0
    texts: int = 0
    before: int = 0
    left: int = 0

    @property
    def found(self) -> bool:
        """Whether anything gave way."""
        return bool(self.conversations or self.texts)

    def of_a_tick(self) -> dict[str, int]:
        """As tenants.ticks writes it down."""
        return {"conversations": self.conversations, "texts": self.texts, "left": self.left}

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
            told = {"contact": contact.fingerprint} | {name: getattr(counts, name) for name in ("conversations", "texts", "before")}
            eventlog.append("contact.erased", Tenant.objects.get(pk=tenant_id), after=told)
    return contact, counts


def size(tenant_id: int) -> int:
    """How many rows of a tenant an erasure looks through for texts."""
    with isolation.act_as(tenant_id):
        return sum(model._default_manager.count() for model in WRITTEN_IN)


def erase_old(limit: int = ROUND, until: float = math.inf) -> Counts:
    """In every tenant that has set a time: forget whose conversation was resolved longer ago, in rounds of at most `limit`.

    A round of each tenant, then the next of those that have more, so that nobody's backlog keeps others waiting. No round begins
    after `until` (of time.monotonic): the next call goes on. What somebody holds is left for it, too, and passed over here.
    """
    counts = Counts()
    waiting, again, held = rounds.with_retention(), list[int](), defaultdict[int, list[int]](list)

    def forget(tenant_id: int) -> None:
        nonlocal counts
        with isolation.act_as(tenant_id):
            due = due_in(Tenant.objects.get(pk=tenant_id), clock.now())
            rows = Conversation.objects.filter(due).exclude(pk__in=held[tenant_id]).order_by("resolved_at", "pk")
            ids = list(rows.values_list("pk", flat=True)[:limit])
            erased = erase(ids, due, wait=False)
            left = list(Conversation.objects.filter(due, pk__in=ids).values_list("pk", flat=True))
        held[tenant_id] += left
        counts = counts.and_(erased._replace(left=len(left)))
        if len(ids) == limit:
            again.append(tenant_id)

    while waiting:
        left_out = rounds.visit(waiting, forget, until)
        counts = counts.and_(Counts(left=left_out))
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

    Under the lock no act on the conversation is under way that could still write a reason, or has read the number, and no message
    of it is being counted.
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
        "names": [name_of_thread(tenant_id, pk) for pk in numbers],
    }
    with connection.cursor() as cursor:
        cursor.execute(ERASE, parameters | eventlog.origin())
        (conversations,) = cursor.fetchone()
        cursor.execute("SELECT erase_words(%s)", [list(numbers)])
        (words,) = cursor.fetchone()
    _rename_messages(list(numbers))
    return Counts(conversations, words)


def _rename_messages(conversation_ids: Sequence[int]) -> None:
    """Put digests in the place of what the provider called the messages of these conversations, some thousands at a time."""
    tenant_id, above = isolation.current_tenant_id(), 0
    while True:
        rows = ReceivedMessage.objects.filter(conversation_id__in=conversation_ids, pk__gt=above).order_by("pk")
        messages = list(rows.values_list("pk", "provider", "message_id")[:WINDOW])
        if not messages:
            return
        renamed = [digests(tenant_id, provider, message_id)[0] for _, provider, message_id in messages]
        with connection.cursor() as cursor:
            cursor.execute(RENAME_MESSAGES, {"tenant_id": tenant_id, "ids": [pk for pk, *_ in messages], "digests": renamed})
        above = messages[-1][0]


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
    """One after another: words of an inbox that differed in the number's spelling alone are told apart by our id from now on.

    Somebody may have a word of that name, or be about to add it: then the next name serves, and the last is nobody's guess.
    """
    renamed = list(rows.annotate(wished=_without(Label, "name", sought, stand_in)).order_by("pk").values_list("pk", "wished"))
    for pk, wished in renamed:
        names = (wished, f"{wished[:80]} ({pk})", f"{wished[:60]} ({pk} {secrets.token_hex(8)})")
        next(name for name in names if _is_called(pk, name))
    return len(renamed)


def _is_called(label_id: int, name: str) -> bool:
    """Whether the label has this name now, or is gone. Waits for whoever is about to take it."""
    try:
        with transaction.atomic():  # a savepoint
            Label.objects.filter(pk=label_id).update(name=name, version=F("version") + 1)
        return True
    except IntegrityError as problem:
        if LABEL_TAKEN in str(problem):
            return False
        raise


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
