"""Every write, with each of its statements failing in turn: it changes all that it should or nothing, and can be repeated."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from django.db import connection

from conversations import labelling
from tenants import isolation
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract import witness
from tests.contract.routes import CONVERSATION, INBOX, LABEL, ROUTES, Route, call, stage
from tests.conversations import invariants
from tests.operators.test_leases import with_leases

UPDATE_PRIORITIES = "recalculation-update-priorities"
# Not the one that ranks a queue anew in many short transactions, each of which stands for itself.
WRITES = [route for route in ROUTES if route.method != "GET" and route.operation not in ("conversation-search", UPDATE_PRIORITIES)]
FAULTS = {
    "refused": "DO $$ BEGIN RAISE EXCEPTION 'a fault' USING ERRCODE = 'query_canceled'; END $$",
    "connection lost": "SELECT pg_terminate_backend(pg_backend_pid())",
}


class Failing:
    """A wrapper for the statements of a connection: in place of one of them, a fault."""

    def __init__(self, place: int, fault: str, *, keeping: bool = False) -> None:
        self.left, self.fault, self.keeping = place, fault, keeping

    @property
    def has_struck(self) -> bool:
        """Whether there were so many statements."""
        return self.left <= 0

    def __call__(self, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            if self.keeping:
                connection.connection.commit()  # for the control: what was done before is not undone
            with connection.wrap_database_errors:
                return connection.connection.execute(self.fault)
        return execute(sql, *rest)


def faults(fault: str, ask: Callable[[], Answer], look: Callable[[], Any], *, keeping: bool = False) -> Iterator[tuple[Answer, Any]]:
    """The same question with a fault in place of the first statement, of the second, and so on, and the last time with none.

    Each time its answer, and what there is to see afterwards.
    """
    for place in count(1):
        failing = Failing(place, FAULTS[fault], keeping=keeping)
        with connection.execute_wrapper(failing):
            answer = ask()
        yield answer, look()
        if not failing.has_struck:
            return


def staged(cast: Cast, route: Route) -> dict[str, int]:
    """Ids for a call that an admin may make, and that changes something."""
    ids = stage(cast, route.operation, cast.ada)
    match route.operation:
        case "conversation-move-inbox":
            ids[INBOX] = cast.sales.pk
        case "presence-heartbeat":
            with_leases(cast, 60)
        case "label-detach":
            with isolation.act_as(cast.tenant.pk):
                labelling.attach(ids[CONVERSATION], ids[LABEL])
    return ids


ASKED = [(route, "refused") for route in WRITES] + [
    (route, "connection lost") for route in WRITES if route.operation in ("conversation-allocate", "conversation-resolve")
]


@pytest.mark.parametrize(("route", "fault"), ASKED, ids=str)
def test_a_write_with_a_fault_at_any_statement_changes_nothing_and_succeeds_when_repeated(
    committed: None, api: type[Api], route: Route, fault: str
) -> None:
    cast = assemble()
    question = call(route, staged(cast, route))
    before = witness.everything_of(cast.tenant)

    *failed, done = faults(fault, lambda: api(cast.ada).call(*question), lambda: witness.everything_of(cast.tenant))

    assert [(answer.status, answer.body["code"]) for answer, _ in failed] == [(503, "unavailable")] * len(failed)
    assert [after for _, after in failed if after != before] == []
    assert len(failed) > 3
    assert done[0].status < 300
    assert done[1] != before
    invariants.assert_all(cast)


def test_control_where_each_statement_is_kept_a_fault_leaves_half_a_change(committed: None, api: type[Api]) -> None:
    cast = assemble()
    [route] = [route for route in WRITES if route.operation == "conversation-resolve"]
    question = call(route, staged(cast, route))
    before = witness.everything_of(cast.tenant)

    *failed, _ = faults("refused", lambda: api(cast.ada).call(*question), lambda: witness.everything_of(cast.tenant), keeping=True)

    assert [after for _, after in failed if after != before] != []
