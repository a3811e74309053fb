"""API keys: what programs of a tenant show. Made by an administrator, seen once, bounded by scopes and by a date."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from convalloc import clock
from convalloc.errors import Missing
from operators import bearers, presence
from operators.errors import AccountClosed
from operators.models import ApiKey, Operator
from tenants import eventlog, isolation

PREFIX = "cvk"
LONGEST_DAYS = 730
# Once a minute is enough to see whether anybody needs a key still, and nobody waits for the row of a key that many use at once.
USED = """
    UPDATE api_keys SET last_used_at = statement_timestamp()
     WHERE tenant_id = %(tenant_id)s AND id = (
        SELECT k.id FROM api_keys k WHERE k.tenant_id = %(tenant_id)s AND k.id = %(id)s
           AND (k.last_used_at IS NULL OR k.last_used_at < statement_timestamp() - interval '1 minute') FOR NO KEY UPDATE SKIP LOCKED)
"""


def make(name: str, *, acts_as: int, scopes: Iterable[str], days: int, by: Operator) -> tuple[ApiKey, str]:
    """A new key for so many days, and its text, which is kept nowhere. Raises Missing, AccountClosed."""
    account = presence.lock(acts_as).operator
    if not account.is_active:
        raise AccountClosed
    secret, digest = bearers.fresh()
    key: ApiKey = ApiKey.objects.create(
        name=name,
        operator=account,
        scopes=sorted(set(scopes)),
        digest=digest,
        created_by=by,
        expires_at=clock.now() + timedelta(days=days),
    )
    eventlog.append("api_key.made", key, after={"name": name, "operator_id": acts_as, "scopes": key.scopes, "expires_at": key.expires_at})
    return key, bearers.spell(PREFIX, isolation.current_tenant_id(), key.pk, secret)


def all_of_them() -> QuerySet[ApiKey]:
    """Every key of the tenant, the newest first, revoked and expired ones too."""
    return ApiKey.objects.order_by("-pk")


def revoke(key_id: int) -> ApiKey:
    """It opens nothing from now on. Repeating it changes nothing. Raises Missing."""
    key = lock(key_id)
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        key.save(update_fields=["revoked_at"])
        eventlog.append("api_key.revoked", key, after={"name": key.name})
    return key


def lock(key_id: int) -> ApiKey:
    """The key, locked. Raises Missing."""
    key: ApiKey | None = ApiKey.objects.select_for_update(no_key=True).filter(pk=key_id).first()
    if key is None:
        raise Missing(what="API key", sought=[key_id])
    return key


def find(offered: bearers.Bearer) -> ApiKey | None:
    """The key of the bound tenant that was offered, if it opens anything still; notes its use."""
    key = living(offered.row_id)
    if key is None or not bearers.fits(offered, key.digest):
        return None
    note_use(key)
    return key


def living(key_id: int) -> ApiKey | None:
    """The key, if it opens anything still."""
    key: ApiKey | None = ApiKey.objects.filter(pk=key_id, revoked_at=None, expires_at__gt=clock.now()).first()
    return key


def note_use(key: ApiKey) -> None:
    """Somebody called with it just now."""
    with connection.cursor() as cursor:
        cursor.execute(USED, {"tenant_id": key.tenant_id, "id": key.pk})


def described(key: ApiKey) -> dict[str, Any]:
    """A key as clients know it."""
    plain = ("name", "operator_id", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at")
    return {"id": key.pk} | {name: getattr(key, name) for name in plain} | {"created_by": key.created_by_id}
