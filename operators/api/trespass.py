"""Security events for what a caller may not have: a 403, a 404 for what is another tenant's, and more than their share of requests.

The caller hears nothing of it: another tenant's id and one that nobody has cost the same questions and answer the same.
"""

import re
from typing import Any

from django.db import connection
from django.urls import ResolverMatch

from convalloc import security
from convalloc.api.fields import BIGGEST_ID, is_id
from convalloc.errors import DomainError, Kind, Missing
from convalloc.limits import RateLimited
from operators.api.permissions import operation_of
from operators.errors import PlatformAccount
from operators.models import Operator

# Narrow functions of the database: an id's tenant, and nothing else of it.
TENANT_OF = {
    "API key": "tenant_of_api_key",
    "Conversation": "tenant_of_conversation",
    "Delivery": "tenant_of_delivery",
    "Grace period": "tenant_of_grace_period",
    "Inbox": "tenant_of_inbox",
    "Label": "tenant_of_label",
    "Operator": "tenant_of_operator",
    "Session": "tenant_of_session",
    "Signing secret": "tenant_of_signing_secret",
    "Webhook": "tenant_of_webhook",
}


def tell(door: Any, refusal: Exception) -> None:
    """Note a refusal that follows from who asks; any other passes."""
    if isinstance(refusal, Missing) and refusal.what in TENANT_OF:
        for id_ in (id_ for id_ in refusal.sought if id_ <= BIGGEST_ID):
            _tell_of_anothers(_who(door), refusal.what, id_)
    elif isinstance(refusal, PlatformAccount):  # refused before the door knew them
        security.tell("authz_fail", code=refusal.code, operation=operation_of(door))
    elif isinstance(refusal, RateLimited):
        used_up = ",".join(standing.limit.name for standing in refusal.standings if not standing.remaining)
        security.tell("rate_limit_exceeded", limit=used_up, **_who(door))
    elif isinstance(refusal, DomainError) and refusal.kind is Kind.FORBIDDEN:
        security.tell("authz_fail", code=refusal.code, **_who(door))


def tell_of_page(operator: Operator, match: ResolverMatch | None) -> None:
    """Note who was shown no such page, or none for their eyes, in the console: by the address's row, where it is another tenant's."""
    who = {"operator_id": operator.pk, "tenant_id": operator.tenant_id, "operation": match.view_name if match else None}
    id_ = str(match.kwargs.get("object_id", "")) if match else ""
    found = re.fullmatch(r"admin:[a-z]+_([a-z]+)_(change|delete|history)", str(who["operation"]))
    what = next((what for what in TENANT_OF if found and what.replace(" ", "").lower() == found[1]), "")
    if what and is_id(id_):
        _tell_of_anothers(who, what, int(id_))


def _tell_of_anothers(who: dict[str, Any], what: str, id_: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {TENANT_OF[what]}(%s)", [id_])
        (owner,) = cursor.fetchone()
    if owner not in (None, who["tenant_id"]):
        security.tell("authz_fail", code="another_tenants", what=what.replace(" ", "_").lower(), id=id_, of_tenant_id=owner, **who)


def _who(door: Any) -> dict[str, Any]:
    key = door.credential.api_key_id
    return {"operator_id": door.caller.pk, "tenant_id": door.caller.tenant_id, "api_key_id": key, "operation": operation_of(door)}
