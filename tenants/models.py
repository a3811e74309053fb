"""The ground: tenants, their inboxes, their event log, and what every tenant-owned table is made of."""

from typing import Any, ClassVar, NamedTuple, Self

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Cast, Now

from tenants import isolation

PLATFORM_TENANT_ID = 0  # home of the platform's superusers; it owns no inbox and no conversation


class OwnedManager(models.Manager[Any]):
    """Rows of the bound tenant, and of no other. Raises isolation.NoTenant when none is bound."""

    def get_queryset(self) -> models.QuerySet[Any]:
        return super().get_queryset().filter(tenant_id=isolation.current_tenant_id())


class OwnedForeignKey(models.ForeignKey[Any, Any]):
    """A reference within one tenant. The database holds it as (tenant_id, x_id): walls.Raise makes that constraint.

    A plain foreign key would accept another tenant's row, because referential checks bypass row level security.
    """

    def __init__(self, to: Any, on_delete: Any = models.PROTECT, **options: Any) -> None:
        options |= {"db_constraint": False, "related_name": "+"}
        options.setdefault("db_index", False)  # indexes are led by tenant_id and declared in Meta
        super().__init__(to, on_delete, **options)


def _alpha() -> Any:
    return settings.PRIORITY_ALPHA


def _beta() -> Any:
    return settings.PRIORITY_BETA


def _grace() -> int:
    return settings.GRACE_PERIOD_MINUTES


class Tenant(models.Model):
    """A customer of ours: a wall around data, and the weights by which its queue is ordered."""

    class WaitingClock(models.TextChoices):
        LAST_MESSAGE = "last_message_at", "since the last message"
        WAITING_SINCE = "waiting_since", "since the first unanswered message"

    name = models.TextField()
    priority_alpha = models.DecimalField(
        max_digits=7, decimal_places=4, default=_alpha, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    priority_beta = models.DecimalField(
        max_digits=7, decimal_places=4, default=_beta, validators=[MinValueValidator(0), MaxValueValidator(100)]
    )
    message_cap = models.PositiveIntegerField(default=100, validators=[MinValueValidator(1), MaxValueValidator(1_000_000)])
    delay_cap_minutes = models.PositiveIntegerField(default=1440, validators=[MinValueValidator(1), MaxValueValidator(43_200)])
    waiting_clock = models.TextField(choices=WaitingClock, default=WaitingClock.LAST_MESSAGE)
    grace_period_minutes = models.PositiveIntegerField(default=_grace, validators=[MinValueValidator(1), MaxValueValidator(10_080)])
    # Most conversations an operator holds at a time, unless the operator's own number says otherwise; null: no limit.
    operator_capacity = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(10_000)])
    # Minutes in which the queue does not hand an operator again what they gave back, while anything else waits; 0: none.
    cooldown_minutes = models.PositiveIntegerField(default=5, validators=[MaxValueValidator(1440)])
    # Seconds of silence after which an operator counts as lost; null: nobody is expected to give signs of life.
    lease_seconds = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(30), MaxValueValidator(3600)])
    leases_from = models.DateTimeField(null=True, editable=False)  # nobody's silence counts from before
    # Days after which a customer is forgotten whose conversation is resolved; null: never by the clock.
    resolved_conversations_days = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(3650)]
    )
    # Days after which the event log forgets; null: never. A week at least, which is longer than any webhook is tried.
    events_kept_days = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(7), MaxValueValidator(3650)])
    # The position up to which it has forgotten something: who reads on from before, has lost that. tenants.eventlog reads it.
    forgotten_transaction = models.BigIntegerField(db_default=0, editable=False)
    forgotten_id = models.BigIntegerField(db_default=0, editable=False)
    settings_version = models.PositiveIntegerField(default=1, db_default=1, editable=False)  # counts changes of what tenants.tuning sets
    weights_version = models.PositiveIntegerField(default=1, editable=False)  # counts changes of what ranks rest on
    ranked_version = models.PositiveIntegerField(default=1, editable=False)  # the weights that the last full walk ranked by
    # How far the walk is that ranks the queue anew; tenants.ranking keeps these.
    ranking_run = models.PositiveIntegerField(default=0, editable=False)  # counts walks: a late one knows that it was replaced
    ranking_done = models.PositiveIntegerField(default=0, editable=False)  # conversations
    ranking_total = models.PositiveIntegerField(default=0, editable=False)
    ranking_started_at = models.DateTimeField(null=True, editable=False)
    ranking_moved_at = models.DateTimeField(null=True, editable=False)  # its last sign of life; null: nobody walks
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = models.Manager["Tenant"]()

    class Meta:
        db_table = "tenants"
        constraints = [
            models.CheckConstraint(
                name="tenant_weights_are_sane", condition=Q(priority_alpha__range=(0, 100), priority_beta__range=(0, 100))
            ),
            models.CheckConstraint(name="tenant_weights_order_something", condition=Q(priority_alpha__gt=0) | Q(priority_beta__gt=0)),
            models.CheckConstraint(name="tenant_message_cap_range", condition=Q(message_cap__range=(1, 1_000_000))),
            models.CheckConstraint(name="tenant_delay_cap_range", condition=Q(delay_cap_minutes__range=(1, 43_200))),
            models.CheckConstraint(name="tenant_grace_range", condition=Q(grace_period_minutes__range=(1, 10_080))),
            models.CheckConstraint(
                name="tenant_capacity_range", condition=Q(operator_capacity__isnull=True) | Q(operator_capacity__range=(1, 10_000))
            ),
            models.CheckConstraint(name="tenant_cooldown_range", condition=Q(cooldown_minutes__range=(0, 1440))),
            models.CheckConstraint(name="tenant_lease_range", condition=Q(lease_seconds__isnull=True) | Q(lease_seconds__range=(30, 3600))),
            models.CheckConstraint(name="tenant_leases_begin", condition=Q(lease_seconds__isnull=True) | Q(leases_from__isnull=False)),
            models.CheckConstraint(
                name="tenant_retention_range",
                condition=Q(resolved_conversations_days__isnull=True) | Q(resolved_conversations_days__range=(1, 3650)),
            ),
            models.CheckConstraint(
                name="tenant_events_kept_range", condition=Q(events_kept_days__isnull=True) | Q(events_kept_days__range=(7, 3650))
            ),
            models.CheckConstraint(name="tenant_known_clock", condition=Q(waiting_clock__in=["last_message_at", "waiting_since"])),
        ]

    def __str__(self) -> str:
        return self.name


class Whereabouts(NamedTuple):
    """Which conversation and which inbox something is about, and who holds that conversation; None: none."""

    conversation_id: int | None = None
    inbox_id: int | None = None
    holder_id: int | None = None


class TenantOwned(models.Model):
    """Abstract: a row that belongs to one tenant, behind all three walls (ORM scope, composite keys, row level security).

    That the tenant exists follows from the row's composite keys. A constraint of its own would lock the tenant's row whenever
    anything is written, and writers side by side would spend one of PostgreSQL's MultiXactIds each time: they run out.
    """

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+", db_index=False, db_constraint=False, editable=False)

    objects: ClassVar[models.Manager[Self]] = OwnedManager()

    class Meta:
        abstract = True
        base_manager_name = "objects"  # following a foreign key and save() stay inside the scope too
        default_manager_name = "objects"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new row takes the bound tenant; a row of another one is refused."""
        own: int | None = self.tenant_id  # None until the first save, whatever the field's type says
        if own is None:
            self.tenant_id = isolation.current_tenant_id()
        self._refuse_another_tenant()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Django deletes a row that nothing refers to by its id alone, past the manager; a row of another tenant is refused here."""
        self._refuse_another_tenant()
        return super().delete(*args, **kwargs)

    def whereabouts(self) -> Whereabouts:
        """What the events of this row are about besides: by that the log is filtered, and who may see them is decided."""
        return Whereabouts()

    def _refuse_another_tenant(self) -> None:
        bound = isolation.current_tenant_id()
        if self.tenant_id != bound:
            raise isolation.NoTenant(f"A row of tenant {self.tenant_id} was about to be written while acting as tenant {bound}.")


class TenantAnchored(TenantOwned):
    """Abstract: a row that other rows' composite keys lead to. The database looks its tenant up."""

    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="+", db_index=False, editable=False)

    class Meta(TenantOwned.Meta):
        abstract = True


class Inbox(TenantAnchored):
    """A phone number that customers write to, and the team that answers there."""

    name = models.TextField()
    phone_number = models.TextField()
    # Minutes that an offline operator keeps this inbox's work; null: the tenant's number.
    grace_period_minutes = models.PositiveIntegerField(
        null=True, blank=True, validators=[MinValueValidator(1), MaxValueValidator(10_080)], help_text="Empty: the organisation's number."
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "inboxes"
        verbose_name_plural = "inboxes"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "phone_number"], name="inbox_phone_number_once"),
            models.CheckConstraint(
                name="inbox_grace_range", condition=Q(grace_period_minutes__isnull=True) | Q(grace_period_minutes__range=(1, 10_080))
            ),
        ]
        indexes = [models.Index(fields=["id"], name="inbox_by_id")]  # tenant_of_inbox

    def __str__(self) -> str:
        return self.name

    def whereabouts(self) -> Whereabouts:
        return Whereabouts(inbox_id=self.pk)


THIS_TRANSACTION = Cast(Cast(models.Func(function="pg_current_xact_id"), models.TextField()), models.BigIntegerField())


class Event(TenantOwned):
    """One change, written in the transaction that made it. Rows are only ever added.

    Ids are handed out before commit, so that a slow transaction's id can appear after a faster one's. The position
    of an event is therefore (transaction, id): see eventlog.read. Of one subject, whose lock the writer holds, it is id
    alone: a transaction that began early may well have waited for that lock.
    """

    transaction = models.BigIntegerField(db_default=THIS_TRANSACTION)
    kind = models.TextField()
    subject_type = models.TextField()
    subject_id = models.BigIntegerField()
    # No foreign keys: what these are lives floors above, and the audit outlives it.
    conversation_id = models.BigIntegerField(null=True)
    inbox_id = models.BigIntegerField(null=True)  # after the change; where it was before, `before` says
    holder_id = models.BigIntegerField(null=True)  # of the conversation, after the change; as for the inbox
    actor_id = models.BigIntegerField(null=True)
    cause = models.TextField(blank=True, default="")
    before = models.JSONField(encoder=DjangoJSONEncoder)
    after = models.JSONField(encoder=DjangoJSONEncoder)
    request_id = models.TextField(blank=True, default="")
    at = models.DateTimeField(db_default=Now())

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "events"
        indexes = [
            models.Index(fields=["tenant", "transaction", "id"], name="event_position"),
            # A conversation's own events stand in this one alone, so that none is in more than three indexes but grace's.
            models.Index(
                fields=["tenant", "conversation_id", "id"],
                include=["transaction"],
                name="event_by_conversation",
                condition=Q(conversation_id__isnull=False),
            ),
            models.Index(
                fields=["tenant", "subject_type", "subject_id", "id"],
                name="event_by_subject",
                condition=~Q(subject_type="conversation"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject_type} {self.subject_id}"


class Tick(TenantOwned):
    """What the beat did last, a row for each of its tasks; tenants.ticks keeps them. They are the platform's."""

    task = models.TextField()
    began_at = models.DateTimeField()
    # The last good end. Where the last beginning is younger than it and than the last failure, a tick works, or was killed.
    ended_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)  # when the work last raised something
    failure = models.TextField(db_default="")  # the kind of it, until a tick ends well
    counts = models.JSONField(db_default=models.Value({}, models.JSONField()))  # of the tick that ended
    totals = models.JSONField(db_default=models.Value({}, models.JSONField()))  # of all that ended, and how many they were
    worst_late_seconds = models.IntegerField(db_default=0)  # how late any of them was with its oldest deadline
    worst_late_at = models.DateTimeField(null=True)  # when that was

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "ticks"
        constraints = [models.UniqueConstraint(fields=["tenant", "task"], name="one_tick_row_per_task")]

    def __str__(self) -> str:
        return f"{self.task} began at {self.began_at}"


class Webhook(TenantAnchored):
    """Where what happens in a tenant is sent, and up to where the log has been read for it. tenants.webhooks keeps these."""

    class Payload(models.TextChoices):
        THIN = "thin", "what happened to what: no names, no numbers"
        FULL = "full", "the event as the API tells it"

    class Stopped(models.TextChoices):
        BY_HAND = "by_hand", "somebody turned it off"
        GONE = "gone", "it answered 410"
        FAILING = "failing", "nothing got through for days"

    url = models.TextField()
    description = models.TextField(blank=True, default="")
    kinds = models.JSONField(default=list)  # of events; none: all but those for admins
    payload = models.TextField(choices=Payload, default=Payload.THIN)
    sealed = models.TextField(editable=False)  # the secret that it is signed with (convalloc.vault)
    former_sealed = models.TextField(blank=True, default="", editable=False)  # the one before, which signs too until
    former_until = models.DateTimeField(null=True, editable=False)
    stopped_at = models.DateTimeField(null=True, editable=False)  # null: it is served
    stopped_because = models.TextField(choices=Stopped, blank=True, default="", editable=False)
    read_transaction = models.BigIntegerField(editable=False)
    read_id = models.BigIntegerField(editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "webhooks"
        constraints = [
            models.CheckConstraint(name="webhook_known_payload", condition=Q(payload__in=["thin", "full"])),
            models.CheckConstraint(
                name="webhook_stopped_because",
                condition=Q(stopped_at=None, stopped_because="")
                | Q(stopped_at__isnull=False, stopped_because__in=["by_hand", "gone", "failing"]),
            ),
        ]
        indexes = [models.Index(fields=["id"], name="webhook_by_id")]  # tenant_of_webhook

    def __str__(self) -> str:
        return self.url


class WebhookDelivery(TenantOwned):
    """One event on its way to one webhook. tenants.deliveries keeps these."""

    class State(models.TextChoices):
        PENDING = "pending", "to be tried at due_at"
        DELIVERED = "delivered", "the other side has it"
        FAILED = "failed", "given up"

    webhook = OwnedForeignKey(Webhook, models.CASCADE)
    event_id = models.BigIntegerField()  # no key: the log may forget it
    kind = models.TextField()
    state = models.TextField(choices=State, default=State.PENDING)
    due_at = models.DateTimeField()  # while somebody sends it: when they count as dead
    lease = models.IntegerField(default=0)  # counts who took it: the late word of one before is not heard
    attempts = models.PositiveSmallIntegerField(default=0)
    tries = models.JSONField(default=list)  # of each attempt: at, status, error, milliseconds
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "webhook_deliveries"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "webhook", "event_id"], name="webhook_event_once"),
            models.CheckConstraint(
                name="webhook_delivery_ends",
                condition=Q(state="pending", ended_at=None) | Q(state__in=["delivered", "failed"], ended_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "webhook", "due_at", "id"], name="webhook_delivery_due", condition=Q(state="pending")),
            models.Index(fields=["id"], name="delivery_by_id"),  # tenant_of_delivery
            models.Index(fields=["tenant", "ended_at"], name="webhook_delivery_over", condition=Q(ended_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.event_id} to webhook {self.webhook_id}"
