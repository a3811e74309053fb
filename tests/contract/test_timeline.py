"""GET /conversations/{id}/timeline: a story for people, a sentence for each event, with names as they are now."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import expiry, grace, labelling, lifecycle
from conversations.lifecycle import Override
from conversations.models import GracePeriod
from operators import staff
from operators.models import Status
from tenants import eventlog, isolation
from tests.conftest import Api, Cast
from tests.contract.witness import NOT_YOUR_INBOX, held, invalid, kept, missing, said


def texts(cast: Cast, conversation_id: int, query: str = "") -> list[str]:
    """The sentences that Mia reads."""
    return [entry["text"] for entry in Api(cast.mia).get(f"/conversations/{conversation_id}/timeline{query}").data]


@pytest.fixture
def eventful(cast: Cast) -> Any:
    """A conversation that lived through much."""
    row, word, other = held(cast, cast.olga), cast.label(name="VIP"), cast.label(name="angry")
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk, "request-1"):
        labelling.attach(row.pk, word.pk)
        labelling.attach(row.pk, other.pk)
        labelling.detach(row.pk, other.pk)
        lifecycle.reassign(row.pk, cast.otto.pk, override=Override(force=True, reason="Olga is ill"))
        lifecycle.move(row.pk, cast.sales.pk, by=cast.mia)
        lifecycle.resolve(row.pk, by=cast.mia)
    return row


def test_tells_who_did_what_when_and_why(cast: Cast, eventful: Any) -> None:
    entries = Api(cast.mia).get(f"/conversations/{eventful.pk}/timeline").data

    assert [(entry["actor_name"], entry["text"], entry["cause"]) for entry in entries] == [
        (None, "It began at Support.", ""),
        ("Olga", "Olga took it.", ""),
        ("Mia", "Mia put on VIP.", "VIP"),
        ("Mia", "Mia put on angry.", "angry"),
        ("Mia", "Mia took off angry.", "angry"),
        ("Mia", "Mia took it from Olga and gave it to Otto.", "forced: Olga is ill"),
        ("Mia", "Mia moved it from Support to Sales, where there is no VIP.", ""),
        ("Mia", "Mia resolved it.", ""),
    ]
    assert entries[1].keys() == {"id", "at", "kind", "actor_id", "actor_name", "text", "cause"}
    assert [entry["id"] for entry in entries] == sorted(entry["id"] for entry in entries)


def test_tells_of_the_grace_periods_too(cast: Cast) -> None:
    period = kept(cast, cast.otto)
    with isolation.act_as(cast.tenant.pk), eventlog.caused_by(cast.mia.pk):
        grace.extend(period.pk, 5)
        until = GracePeriod.objects.get(pk=period.pk).expires_at
        GracePeriod.objects.update(opened_at=until.replace(year=2020), expires_at=until.replace(year=2021))
    list(expiry.expire_all_of(cast.tenant.pk))

    story = texts(cast, period.conversation_id)

    assert story[2:] == [
        f"Otto went offline and keeps it until {period.expires_at:%Y-%m-%d %H:%M} UTC.",
        f"Mia lets Otto keep it until {until:%Y-%m-%d %H:%M} UTC.",
        "Otto stayed away: it is back in the queue.",
        "The time ran out in which Otto kept it.",
    ]


def test_tells_of_a_return_and_of_a_manager_who_did_not_wait(cast: Cast) -> None:
    back, taken = kept(cast, cast.otto), kept(cast, cast.olga)
    assert Api(cast.otto).put(f"/operators/{cast.otto.pk}/status", status="AVAILABLE").status == 200
    assert Api(cast.mia).post(f"/grace-periods/{taken.pk}/expire-now").status == 200

    assert texts(cast, back.conversation_id)[-1] == "Otto is back in time."
    assert texts(cast, taken.conversation_id)[-2:] == [
        "Mia did not wait for Olga: it is back in the queue.",
        "The time ran out in which Olga kept it.",
    ]


def test_names_are_those_of_now_and_of_a_label_that_is_gone_the_last_one(cast: Cast, eventful: Any) -> None:
    with isolation.act_as(cast.tenant.pk):
        staff.change(cast.olga.pk, by=cast.ada, name="Olga Petrova")
    label = next(entry for entry in Api(cast.mia).get(f"/labels?inbox_id={cast.support.pk}").data if entry["name"] == "angry")
    assert Api(cast.mia).delete(f"/labels/{label['id']}").status == 200

    story = texts(cast, eventful.pk)

    assert story[1] == "Olga Petrova took it."
    assert story[3:5] == ["Mia put on angry.", "Mia took off angry."]


@pytest.mark.parametrize("sort", ["oldest", "newest"])
def test_a_walk_meets_every_entry_once_from_either_end(cast: Cast, eventful: Any, sort: str) -> None:
    whole = texts(cast, eventful.pk)

    found, cursor, more = list[str](), "", True
    while more:
        answer = Api(cast.mia).get(f"/conversations/{eventful.pk}/timeline?sort={sort}&limit=3&cursor={cursor}")
        found += [entry["text"] for entry in answer.data]
        cursor, more = answer.body["meta"]["next_cursor"], answer.body["meta"]["has_more"]
        assert more == (cursor is not None)

    assert found == (whole if sort == "oldest" else whole[::-1])


def test_a_cursor_of_another_list_and_garbage_are_refused(cast: Cast, eventful: Any) -> None:
    other = held(cast, cast.olga)
    cursor = Api(cast.mia).get(f"/conversations/{eventful.pk}/timeline?limit=1").body["meta"]["next_cursor"]
    elsewhere = invalid(cursor='"cursor" belongs to another sort, other filters or other weights')

    assert said(Api(cast.mia).get(f"/conversations/{other.pk}/timeline?cursor={cursor}")) == elsewhere
    assert said(Api(cast.mia).get(f"/conversations/{eventful.pk}/timeline?sort=newest&cursor={cursor}")) == elsewhere
    assert Api(cast.mia).get(f"/conversations/{eventful.pk}/timeline?cursor=garbage").status == 400


def test_who_may_not_see_the_conversation_reads_no_story(cast: Cast, neighbours: Cast) -> None:
    elsewhere, foreign = cast.conversation(inbox=cast.sales), neighbours.conversation()

    assert said(Api(cast.otto).get(f"/conversations/{elsewhere.pk}/timeline")) == NOT_YOUR_INBOX
    assert said(Api(cast.otto).get(f"/conversations/{foreign.pk}/timeline")) == missing("Conversation")


def test_takes_the_same_statements_however_much_happened(cast: Cast, eventful: Any) -> None:
    short = cast.conversation()

    asked = []
    for row in (short, eventful):
        with CaptureQueriesContext(connection) as queries:
            Api(cast.mia).get(f"/conversations/{row.pk}/timeline")
        asked.append(len(queries))

    assert asked[1] - asked[0] in (0, 1, 2), "no names to look up where nobody did anything"


def test_tells_of_work_that_was_given_back_and_taken_back(cast: Cast) -> None:
    released, left = held(cast, cast.olga), held(cast, cast.otto)
    assert Api(cast.olga).post("/conversations/release", conversation_id=released.pk, reason="lunch").status == 200
    assert Api(cast.mia).put(f"/operators/{cast.otto.pk}/status", status=Status.OFFLINE, release="now").status == 200
    assert Api(cast.mia).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=left.pk).status == 200

    assert texts(cast, released.pk)[-1] == "Olga gave it back to the queue."
    assert texts(cast, left.pk)[-2:] == ["Mia put it back into the queue; Otto had held it.", "Mia took it for Olga."]
