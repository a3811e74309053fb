"""Every tenant asked about every invariant. Reads only, in short transactions; one that cannot be asked is a finding, too."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError, OperationalError, connection

from convalloc.errors import OutcomeUnknown
from conversations import queue
from conversations.doctor.chronicle import CHRONICLE
from conversations.doctor.findings import FIRST, Finding, Offenders, Verdict
from conversations.doctor.histories import OF_GRACE, OF_PEOPLE
from conversations.doctor.invariants import INVARIANTS, Invariant
from conversations.models import Conversation, GracePeriod
from operators.models import Operator
from tenants import isolation
from tenants.models import Tenant, TenantOwned

Progress = Callable[[int], object]
BEYOND_EVERY_ID = 2**63 - 1
# Whose log is compared with their rows, and how many of them in one statement, far below the statement_timeout of the runtime role:
# a person's log is longer by far than a conversation's.
STORIES: dict[type[TenantOwned], tuple[Invariant, ...]] = {Conversation: CHRONICLE, GracePeriod: OF_GRACE, Operator: OF_PEOPLE}
STRETCH: dict[type[TenantOwned], int] = {Conversation: 2000, GracePeriod: 2000, Operator: 50}


class Lost(Exception):
    """The session with the database was lost in the middle; nothing more can be asked on it."""


def conversations_of(tenant_ids: Sequence[int]) -> int:
    """How many conversations there are to examine."""
    total = 0
    for tenant_id in tenant_ids:
        with isolation.act_as(tenant_id):
            total += Conversation.objects.count()
    return total


def asked(*, quick: bool) -> tuple[Invariant, ...]:
    """Every invariant that is asked about; `quick` leaves out those that read the whole event log."""
    return INVARIANTS if quick else (*INVARIANTS, *(invariant for story in STORIES.values() for invariant in story))


def examine(tenant_ids: Sequence[int], *, progress: Progress = lambda rows: None, quick: bool = False) -> list[Finding]:
    """A finding for each invariant, over these tenants. `progress` hears how many conversations were dealt with. Raises Lost."""
    findings = {
        invariant.name: Finding(invariant.name, Verdict.OK, invariant.holds, invariant.advice, invariant.of)
        for invariant in asked(quick=quick)
    }
    for tenant_id in tenant_ids:
        for invariant in INVARIANTS:
            _ask(findings[invariant.name], invariant, tenant_id)
        for model, story in STORIES.items() if not quick else ():
            for after, upto, rows in stretches(tenant_id, model):
                for invariant in story:
                    _ask(findings[invariant.name], invariant, tenant_id, after=after, upto=upto)
                progress(rows if model is Conversation else 0)
    return list(findings.values())


def offenders(invariant: Invariant, tenant_id: int, *, after: int = 0, upto: int = BEYOND_EVERY_ID) -> list[int]:
    """Ids of all who offend against an invariant, ascending."""
    return _select(invariant, tenant_id, "array_agg(id ORDER BY id)", after=after, upto=upto)[0] or []


def stretches(tenant_id: int, model: type[TenantOwned]) -> Iterator[tuple[int, int, int]]:
    """The tenant's rows in stretches by ascending id: (above, up to, how many). The last one reaches beyond all ids. Raises Lost."""
    size = STRETCH[model]
    after, ids = 0, [0] * size
    while len(ids) == size:
        with stays(), isolation.act_as(tenant_id):
            ids = list(model.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:size])
        upto = ids[-1] if len(ids) == size else BEYOND_EVERY_ID
        yield after, upto, len(ids)
        after = upto


@contextmanager
def stays() -> Iterator[None]:
    """Raises Lost in the place of whatever the end of the session raised inside; everything else passes."""
    try:
        yield
    except OutcomeUnknown as problem:
        raise Lost(gist(problem)) from problem
    except (OperationalError, InterfaceError) as problem:
        if isolation.was_cut_off(problem):
            raise Lost(gist(problem)) from problem
        raise


def gist(problem: Exception) -> str:
    """The first line of what it says."""
    return str(problem).strip().partition("\n")[0]


def _ask(finding: Finding, invariant: Invariant, tenant_id: int, **stretch: int) -> None:
    what = f"(SELECT count(*) FROM {invariant.among}), count(*), (array_agg(id ORDER BY id))[:{FIRST}]"
    try:
        with stays():
            looked_at, count, ids = _select(invariant, tenant_id, what, **stretch)
    except DatabaseError as problem:
        finding.verdict = Verdict.FAIL
        finding.message = f"{invariant.holds}: tenant {tenant_id} could not be asked: {gist(problem)}"
        return
    finding.looked_at += looked_at
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
