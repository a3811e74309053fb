"""Every tenant asked about every invariant. Reads only, in short transactions; one that cannot be asked is a finding, too."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.db import DatabaseError, connection

from conversations import queue
from conversations.doctor.chronicle import CHRONICLE, STRETCH
from conversations.doctor.findings import FIRST, Finding, Offenders, Verdict
from conversations.doctor.invariants import INVARIANTS, Invariant
from conversations.models import Conversation
from tenants import isolation
from tenants.models import Tenant

Progress = Callable[[int], object]
BEYOND_EVERY_ID = 2**63 - 1


def conversations_of(tenant_ids: Sequence[int]) -> int:
    """How many conversations there are to examine."""
    total = 0
    for tenant_id in tenant_ids:
        with isolation.act_as(tenant_id):
            total += Conversation.objects.count()
    return total


def examine(tenant_ids: Sequence[int], *, progress: Progress = lambda rows: None, quick: bool = False) -> list[Finding]:
    """A finding for each invariant, over these tenants. `quick` leaves out those that read the whole event log.

    `progress` hears how many conversations were dealt with.
    """
    asked = INVARIANTS if quick else (*INVARIANTS, *CHRONICLE)
    findings = {invariant.name: Finding(invariant.name, Verdict.OK, invariant.holds, invariant.advice, invariant.of) for invariant in asked}
    for tenant_id in tenant_ids:
        for invariant in INVARIANTS:
            _ask(findings[invariant.name], invariant, tenant_id)
        for after, upto, rows in stretches(tenant_id) if not quick else ():
            for invariant in CHRONICLE:
                _ask(findings[invariant.name], invariant, tenant_id, after=after, upto=upto)
            progress(rows)
    return list(findings.values())


def offenders(invariant: Invariant, tenant_id: int, *, after: int = 0, upto: int = BEYOND_EVERY_ID) -> list[int]:
    """Ids of all who offend against an invariant, ascending."""
    return _select(invariant, tenant_id, "array_agg(id ORDER BY id)", after=after, upto=upto)[0] or []


def stretches(tenant_id: int) -> Iterator[tuple[int, int, int]]:
    """The tenant's conversations in stretches by ascending id: (above, up to, how many). The last one reaches beyond all ids."""
    after, ids = 0, [0] * STRETCH
    while len(ids) == STRETCH:
        with isolation.act_as(tenant_id):
            ids = list(Conversation.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:STRETCH])
        upto = ids[-1] if len(ids) == STRETCH else BEYOND_EVERY_ID
        yield after, upto, len(ids)
        after = upto


def _ask(finding: Finding, invariant: Invariant, tenant_id: int, **stretch: int) -> None:
    try:
        count, ids = _select(invariant, tenant_id, f"count(*), (array_agg(id ORDER BY id))[:{FIRST}]", **stretch)
    except DatabaseError as problem:
        finding.verdict = Verdict.FAIL
        finding.message = f"{invariant.holds}: tenant {tenant_id} could not be asked: {str(problem).splitlines()[0]}"
        return
    if count:
        finding.verdict = max(finding.verdict, invariant.verdict, key=list(Verdict).index)
        before = finding.tenants.get(tenant_id, Offenders(0, []))
        finding.tenants[tenant_id] = Offenders(before.number + count, [*before.ids, *ids][:FIRST])


def _select(invariant: Invariant, tenant_id: int, what: str, **stretch: int) -> tuple[Any, ...]:
    with isolation.act_as(tenant_id), connection.cursor() as cursor:
        parameters = queue.placing(Tenant.objects.get(pk=tenant_id)) | stretch | invariant.asks()
        cursor.execute(f"SELECT {what} FROM ({invariant.offenders}) offenders", parameters)
        row: tuple[Any, ...] = cursor.fetchone()
    return row
