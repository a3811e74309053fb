"""The ground: who works here, where they answer, and whether they are at their desk."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from convalloc import clock
from operators import rights
from tenants import eventlog, isolation
from tenants.models import PLATFORM_TENANT_ID, Inbox, OwnedForeignKey, OwnedManager, TenantAnchored, TenantOwned


class Role(models.TextChoices):
    """What a person may do. The matrix of operations is operators.api.permissions."""

    OPERATOR = "OPERATOR"
    MANAGER = "MANAGER"
    ADMIN = "ADMIN"


class Status(models.TextChoices):
    """Whether a person takes work."""

    AVAILABLE = "AVAILABLE"  # gets work
    AWAY = "AWAY"  # keeps what they hold, gets nothing new
    OFFLINE = "OFFLINE"  # gets nothing; what they hold goes back to the queue after the grace period


class OperatorManager(OwnedManager, BaseUserManager[Any]):
    """Operators of the bound tenant. Accounts are made here and nowhere else, so that none lacks its status and its history."""

    def create_user(self, email: str, password: str | None = None, *, status: Status = Status.OFFLINE, **fields: Any) -> "Operator":
        """Hire an operator into the bound tenant; without a password the account cannot sign in."""
        operator: Operator = self.model(email=self.normalize_email(email).lower(), **fields)
        operator.set_password(password)
        operator.save(force_insert=True)
        PresencePeriod.begin(OperatorStatus.objects.create(operator=operator, status=status, last_status_change_at=clock.now()))
        return operator

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "Operator":
        """Make an account of the platform itself: it belongs to no customer's tenant."""
        with isolation.act_as(PLATFORM_TENANT_ID):
            return self.create_user(email, password, **{"role": Role.ADMIN, **fields})


class Operator(AbstractBaseUser, TenantAnchored):
    """A person of a tenant, or of the platform. Rights follow from the role alone."""

    email = models.EmailField(unique=True)  # lower case; unique over all tenants: it names the account at sign-in
    name = models.TextField(blank=True, default="")
    role = models.TextField(choices=Role, default=Role.OPERATOR)
    is_active = models.BooleanField(default=True)
    # Most conversations held at a time; null: the tenant's number. 0 takes nothing.
    capacity = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(10_000)])
    limits_version = models.PositiveIntegerField(default=1, db_default=1, editable=False)  # counts changes of what operators.desk sets
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects: ClassVar[OperatorManager] = OperatorManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "operators"
        constraints = [
            # Django's admin log refers to an operator by `id` alone; see docs/decisions/0002.
            models.UniqueConstraint(fields=["id"], name="operator_id_alone"),
            models.CheckConstraint(name="operator_known_role", condition=Q(role__in=Role.values)),
            models.CheckConstraint(name="operator_capacity_range", condition=Q(capacity__isnull=True) | Q(capacity__range=(0, 10_000))),
            models.CheckConstraint(name="operator_email_lower_case", condition=Q(email=Lower("email"))),
            models.CheckConstraint(name="operator_of_platform_is_admin", condition=~Q(tenant_id=PLATFORM_TENANT_ID) | Q(role=Role.ADMIN)),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def is_superuser(self) -> bool:
        """Staff of the platform, who belong to no customer."""
        return self.tenant_id == PLATFORM_TENANT_ID

    @property
    def is_manager(self) -> bool:
        """Managers and admins direct other people's work."""
        return self.role in (Role.MANAGER, Role.ADMIN)

    @property
    def is_staff(self) -> bool:
        """May open the console."""
        return self.is_active and self.is_manager

    def get_full_name(self) -> str:
        """What the console calls them."""
        return self.name

    @property
    def console_rights(self) -> str:
        """Which column of operators.rights is theirs; an operator has none."""
        return "PLATFORM" if self.is_superuser else self.role

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """The console asks per model and act; what a row's tenant allows is the walls' affair."""
        return self.is_staff and rights.may(self.console_rights, perm)

    def has_perms(self, perms: Iterable[str], obj: Any = None) -> bool:
        """All of them."""
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        """Whether anything of an app is open to them."""
        return self.is_staff and rights.sees_app(self.console_rights, app_label)


class OperatorStatus(TenantOwned):
    """Whether an operator takes work: one row each. Its lock is the operator's lock (presence.lock)."""

    operator = OwnedForeignKey(Operator)
    status = models.TextField(choices=Status, default=Status.OFFLINE)
    last_status_change_at = models.DateTimeField(db_default=Now())
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)  # counts changes of the status
    # The last sign of life (operators.leases). In no index: a heartbeat then writes the row in place, on its own page.
    seen_at = models.DateTimeField("last sign of life", null=True, blank=True, editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "operator_status"
        verbose_name_plural = "operator statuses"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "operator"], name="one_status_per_operator"),
            models.CheckConstraint(name="operator_known_status", condition=Q(status__in=Status.values)),
        ]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.status}"


class PresencePeriod(TenantOwned):
    """A stretch of time that an operator spent in one status. The next one begins where it ends; the last one is open."""

    operator = OwnedForeignKey(Operator)
    status = models.TextField(choices=Status)
    reason = models.TextField(blank=True, default="")
    actor = OwnedForeignKey(Operator, null=True, blank=True)  # whose word it was; null: the clock's, or nobody's
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "presence_periods"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "operator"], name="one_open_presence_period", condition=Q(ended_at__isnull=True)),
            models.CheckConstraint(name="presence_known_status", condition=Q(status__in=Status.values)),
            models.CheckConstraint(name="presence_runs_forward", condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at"))),
        ]
        indexes = [models.Index(fields=["tenant", "operator", "started_at"], name="presence_by_operator")]

    def __str__(self) -> str:
        return f"{self.operator_id}: {self.status} from {self.started_at:%Y-%m-%d %H:%M:%S}"

    @classmethod
    def begin(cls, status: OperatorStatus, reason: str = "") -> "PresencePeriod":
        """The period of a status that was just set, by whoever acts."""
        return cls.objects.create(
            operator_id=status.operator_id,
            status=status.status,
            reason=reason,
            actor_id=eventlog.origin()["actor_id"],
            started_at=status.last_status_change_at,
        )


class Subscription(TenantOwned):
    """An operator answers at an inbox."""

    operator = OwnedForeignKey(Operator, models.CASCADE)
    inbox = OwnedForeignKey(Inbox, models.CASCADE)
    capacity = models.PositiveIntegerField(null=True, blank=True, validators=[MaxValueValidator(10_000)])  # of this inbox's; null: no limit
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "operator_inbox_subscriptions"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "operator", "inbox"], name="subscription_once"),
            models.CheckConstraint(name="subscription_capacity_range", condition=Q(capacity__isnull=True) | Q(capacity__range=(0, 10_000))),
        ]

    def __str__(self) -> str:
        return f"{self.operator_id} answers at {self.inbox_id}"


class Session(TenantOwned):
    """A client that signed in: what it is given belongs together, and ends together."""

    class EndReason(models.TextChoices):
        SIGNED_OUT = "signed_out"
        REUSED = "reused"  # one of its tokens was offered twice
        PASSWORD_CHANGED = "password_changed"  # noqa: S105
        ACCOUNT_CLOSED = "account_closed"

    operator = OwnedForeignKey(Operator, models.CASCADE)
    began_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(choices=EndReason, blank=True, default="")

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "sessions"
        indexes = [
            models.Index(fields=["tenant", "operator"], name="session_by_operator", condition=Q(ended_at__isnull=True)),
            models.Index(fields=["tenant", "expires_at"], name="session_by_end"),
            models.Index(fields=["id"], name="session_by_id"),  # tenant_of_session
        ]

    def __str__(self) -> str:
        return f"{self.operator_id} from {self.began_at:%Y-%m-%d %H:%M:%S}"


class RefreshToken(TenantOwned):
    """What a session goes on with. It serves once; the row stays, so that a second use is known for what it is."""

    session = OwnedForeignKey(Session, models.CASCADE)
    digest = models.TextField()
    issued_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "refresh_tokens"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "session"], name="one_live_refresh_token", condition=Q(used_at__isnull=True)),
        ]
        indexes = [models.Index(fields=["tenant", "session"], name="refresh_token_by_session")]

    def __str__(self) -> str:
        return f"{self.session_id} issued {self.issued_at:%Y-%m-%d %H:%M:%S}"


class ApiKey(TenantOwned):
    """What a program of the tenant's shows instead of signing in. It acts as an operator, as far as its scopes reach."""

    name = models.TextField()
    operator = OwnedForeignKey(Operator)  # whom it acts as: their role bounds it, and who closes their account ends it
    scopes = models.JSONField()  # operators.api.permissions.SCOPES
    digest = models.TextField()
    created_by = OwnedForeignKey(Operator)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)  # to the minute
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "api_keys"
        indexes = [models.Index(fields=["id"], name="api_key_by_id")]  # tenant_of_api_key

    def __str__(self) -> str:
        return self.name


class SigningSecret(TenantOwned):
    """What callers of an API key sign with in place of showing it. Several are good at a time, so that they can be changed."""

    api_key = OwnedForeignKey(ApiKey, models.CASCADE)
    sealed = models.TextField()  # convalloc.vault; nothing, once it was dropped
    created_by = OwnedForeignKey(Operator)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    dropped_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "signing_secrets"
        constraints = [
            models.CheckConstraint(
                name="dropped_secret_is_forgotten",
                condition=Q(dropped_at__isnull=True) & ~Q(sealed="") | Q(dropped_at__isnull=False) & Q(sealed=""),
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "api_key"], name="live_signing_secrets", condition=Q(dropped_at__isnull=True)),
            models.Index(fields=["id"], name="signing_secret_by_id"),  # tenant_of_signing_secret
        ]

    def __str__(self) -> str:
        return f"{self.api_key_id} from {self.created_at:%Y-%m-%d %H:%M:%S}"


class SeenMessage(TenantOwned):
    """A signed message that was let in: it is not let in again. Kept for as long as its time would let it in."""

    api_key = OwnedForeignKey(ApiKey, models.CASCADE)
    message_id = models.TextField()
    signed_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "seen_messages"
        constraints = [models.UniqueConstraint(fields=["tenant", "api_key", "message_id", "signed_at"], name="message_once")]
        indexes = [models.Index(fields=["tenant", "signed_at"], name="seen_message_by_time")]

    def __str__(self) -> str:
        return f"{self.message_id} of {self.signed_at:%Y-%m-%d %H:%M:%S}"


class IdempotencyKey(TenantOwned):
    """A question that its caller may repeat: the second time it is answered as the first time, and nothing is done. operators.repeats."""

    operator = OwnedForeignKey(Operator, models.CASCADE)
    operation = models.TextField()  # a row of operators.api.permissions.MATRIX
    digest = models.TextField()  # of the key: SHA-256
    question = models.TextField()  # by what the question is known again: HMAC-SHA256
    status = models.PositiveSmallIntegerField(null=True)  # of the answer; null: it is being worked on
    headers = models.JSONField(default=dict)  # of the answer, those that tell of what was done
    sealed = models.TextField(default="")  # the answer's body: convalloc.vault, and the key itself opens it
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "idempotency_keys"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "operator", "operation", "digest"], name="idempotency_key_once"),
            models.CheckConstraint(
                name="answered_with_a_body",
                condition=Q(status__isnull=True) & Q(sealed="") | Q(status__isnull=False) & ~Q(sealed=""),
            ),
        ]
        indexes = [models.Index(fields=["tenant", "expires_at"], name="idempotency_key_by_end")]

    def __str__(self) -> str:
        return f"{self.operator_id} {self.operation} until {self.expires_at:%Y-%m-%d %H:%M:%S}"


class SigningKey(TenantOwned):
    """A key that signs access tokens; the platform's. operators.signing_keys says which are believed."""

    kid = models.TextField()
    private_key = models.TextField()  # sealed: convalloc.vault
    public_key = models.TextField()  # base64url
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    retires_at = models.DateTimeField(null=True)  # its tokens are believed until then; null: it signs

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "signing_keys"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "kid"], name="signing_key_name_once"),
            models.UniqueConstraint(fields=["tenant"], name="one_key_signs", condition=Q(retires_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.kid


class TotpDevice(TenantOwned):
    """What shows an operator the code that is asked for beside the password; operators.second_factor says when one is good."""

    operator = OwnedForeignKey(Operator, models.CASCADE)
    secret = models.TextField()  # sealed: convalloc.vault
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    confirmed_at = models.DateTimeField(null=True)  # null: it was shown, and is not asked for yet
    last_step = models.BigIntegerField(default=0)  # the half minute since 1970 whose code was used last
    recovery_digests = models.JSONField(default=list)  # of those that were not used

    class Meta(TenantOwned.Meta):
        abstract = False
        db_table = "totp_devices"
        constraints = [models.UniqueConstraint(fields=["tenant", "operator"], name="one_totp_device_per_operator")]

    def __str__(self) -> str:
        return str(self.operator_id)
