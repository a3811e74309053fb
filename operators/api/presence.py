"""/operators/{id}/presence and /heartbeat: who was there when, and who is there still.

A status is set a floor above (conversations.api.operators), because work follows from it.
"""

from collections.abc import Callable
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import clock
from convalloc.api import cursors
from convalloc.api.bodies import checked
from convalloc.api.envelope import success
from convalloc.api.schema import documented
from convalloc.errors import Missing
from operators import leases, timesheet
from operators.api import shapes
from operators.api.doors import TenantDoor
from operators.errors import OperatorOffline
from operators.timesheet import Place, Window

# Where a walk stands, and the window that it is about, which would otherwise move on with the clock.
PARSERS: list[Callable[[str], Any]] = [cursors.point_in_time, cursors.point_in_time, cursors.point_in_time, cursors.whole_number]


class Presence(TenantDoor):
    """The presence of operators of the caller's tenant."""

    basename = "presence"

    @documented(shapes.Timesheet, query=(shapes.AskedWindow,), refuses=(Missing,))
    @action(detail=True, methods=["get"], url_path="presence")
    def timesheet(self, request: Request, pk: str) -> Response:
        """How long an operator spent in each status within a window of at most 92 days, and its periods, newest first."""
        operator_id = self.on_behalf_of(int(pk))
        wish = checked(shapes.AskedWindow, request.query_params)
        asked, after, binding = _asked(operator_id, wish)
        sheet = timesheet.of(operator_id, asked, wish["limit"], after)
        cursor = cursors.write([asked.since, asked.until, *sheet.next], binding) if sheet.next else None
        told = {"operator_id": operator_id, "from": asked.since, "to": asked.until, "seconds": sheet.seconds, "periods": sheet.periods}
        return success(told | {"next_cursor": cursor, "has_more": cursor is not None})

    @documented(shapes.Lease, refuses=(Missing, OperatorOffline))
    @action(detail=True, methods=["post"])
    def heartbeat(self, request: Request, pk: str) -> Response:
        """A sign of life, which renews the lease. It brings nobody back from OFFLINE: that is a 409.

        Where the tenant has set `lease_seconds`, an operator who is silent for longer goes OFFLINE within a minute, with the reason
        `lost`, and what they hold has its grace period. Send at least three a lease. The 409 `operator_offline` says why (`reason`)
        and since when: stop sending, ask whoever sits there, and set the status; back in time, they keep their work.
        """
        return success(leases.renew(self.on_behalf_of(int(pk)))._asdict())


def _asked(operator_id: int, wish: dict[str, Any]) -> tuple[Window, Place | None, str]:
    """The window, where in it to go on, and what binds a cursor to the question. Raises Invalid."""
    since, until = wish.get("from"), wish.get("to")
    binding = cursors.digest("presence", {"operator_id": operator_id, "from": since, "to": until})
    if not wish["cursor"]:
        return timesheet.window(since, until, clock.now()), None, binding
    start, end, began, id_ = cursors.read(wish["cursor"], PARSERS, binding)
    return timesheet.window(start, end, clock.now()), Place(began, id_), binding
