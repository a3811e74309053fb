"""Only the database's clock decides: an API process whose own clock is an hour off gives the same work, deadlines and scores."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from convalloc import clock
from tests.conftest import assemble
from tests.races.over_http import AN_HOUR_OFF, callers, served

pytestmark = pytest.mark.xdist_group("over http")

AN_HOUR = 3600


def told(port: int) -> dict[str, Any]:
    """What some work looks like through this API; to the minute where it is about time, for a slow machine takes some."""
    cast = assemble()
    rows = {cast.conversation(minutes_ago=ago, message_count=10).pk: f"waits since {ago} minutes ago" for ago in (50, 10, -30)}
    with callers(port, [cast.otto, cast.mia]) as (otto, mia):
        given = [otto.post("/conversations/allocate", operator_id=cast.otto.pk).data["id"] for _ in range(2)]
        otto.post("/conversations/release", conversation_id=given[0], reason="lunch")
        given.append(otto.post("/conversations/allocate", operator_id=cast.otto.pk).data["id"])
        otto.call("PUT", f"/operators/{cast.otto.pk}/status", {"status": "OFFLINE"})
        kept = mia.call("GET", "/grace-periods").data
        page = mia.call("GET", "/conversations?sort=priority").data["conversations"]
        presence = mia.call("GET", f"/operators/{cast.otto.pk}/presence").data
        place = mia.call("GET", f"/conversations/{given[0]}/priority").data
    return {
        "given": [rows[id_] for id_ in given],
        "listed": [(rows[row["id"]], round(row["priority_score"], 2)) for row in page],
        "deadlines": [minutes_from_now(period["expires_at"]) for period in kept],
        "left": [round(period["seconds_left"] / 60) for period in kept],
        "presence until": minutes_from_now(presence["to"]),
        "waited": round(place["waited_minutes"]),
    }


def minutes_from_now(instant: str) -> int:
    """By the database's clock."""
    return round((datetime.fromisoformat(instant) - clock.now()) / timedelta(minutes=1))


@pytest.mark.parametrize("seconds", [AN_HOUR, -AN_HOUR], ids=["ahead", "behind"])
def test_an_api_whose_clock_is_an_hour_off_gives_the_same_work_and_tells_the_same_times(
    committed: None, product: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setenv("CLOCK_OFF_SECONDS", str(seconds))

    with served(AN_HOUR_OFF, tmp_path) as port:
        assert told(port) == told(product)


def test_control_an_api_that_believes_its_own_clock_tells_other_times(
    committed: None, product: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOCK_OFF_SECONDS", str(AN_HOUR))
    monkeypatch.setenv("CLOCK_BELIEVED", "yes")

    with served(AN_HOUR_OFF, tmp_path) as port:
        assert told(port) != told(product)
