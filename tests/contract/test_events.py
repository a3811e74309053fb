"""GET /events: what happened, from a position on, to whom it may be told. Only what is committed and final is told: these tests commit."""

from typing import Any

import pytest

from conversations import labelling, lifecycle
from operators import presence
from operators.models import Operator, Status
from tenants import eventlog, isolation
from tenants.kinds import FOR_ADMINS, KINDS
from tenants.models import Event
from tests.conftest import Api, Cast, assemble
from tests.contract.witness import NOT_YOUR_INBOX, held, invalid, missing, said
from tests.tenants.test_feed import wait_until_final

Told = dict[str, Any]
NOT_OURS = invalid(after='"after" must be a position that the log gave: next_after of a page, or position of an event')


@pytest.fixture
def cast(committed: None) -> Cast:
    """A tenant whose events are committed."""
    return assemble()


@pytest.fixture
def story(cast: Cast) -> Any:
    """Olga takes a conversation at sales, which is moved to support and labelled there; she goes for lunch; Ada makes a key."""
    row, label = held(cast, cast.olga, inbox=cast.sales), cast.label()
    with isolation.act_as(cast.tenant.pk):
        lifecycle.move(row.pk, cast.support.pk, by=cast.mia)
        labelling.attach(row.pk, label.pk)
        presence.change(cast.olga.pk, Status.AWAY)
    assert Api(cast.ada).post("/api-keys", name="CRM", operator_id=cast.mia.pk, scopes=["events:read"]).status == 201
    wait_until_final(cast)
    return row


def log_of(cast: Cast) -> list[Told]:
    """The whole log of a tenant, as it is told."""
    with isolation.act_as(cast.tenant.pk):
        return [eventlog.as_told(event) for event in Event.objects.order_by("transaction", "id")]


def kinds_told_to(operator: Operator, path: str = "/events") -> set[str]:
    """What somebody hears."""
    return {event["kind"] for event in Api(operator).get(path).data}


def test_tells_all_that_happened_in_order_and_where_to_go_on(cast: Cast, story: Any) -> None:
    answer = Api(cast.ada).get("/events")

    assert (answer.status, answer.data) == (200, log_of(cast))
    assert answer.body["meta"].keys() == {"count", "timestamp", "next_after", "has_more"}
    assert (answer.body["meta"]["count"], answer.body["meta"]["has_more"]) == (len(answer.data), False)


def test_a_walk_by_next_after_meets_every_event_once(cast: Cast, story: Any) -> None:
    found, after, more = list[Told](), "", True
    while more:
        page = Api(cast.ada).get(f"/events?limit=3&after={after}").body
        found, after, more = found + page["data"], page["meta"]["next_after"], page["meta"]["has_more"]

    assert found == log_of(cast)


def test_what_comes_later_comes_after_the_last_position(cast: Cast, story: Any) -> None:
    after = Api(cast.ada).get("/events").body["meta"]["next_after"]
    nothing = Api(cast.ada).get(f"/events?after={after}")

    with isolation.act_as(cast.tenant.pk):
        lifecycle.resolve(story.pk, by=cast.mia)
    wait_until_final(cast)

    assert nothing.data == []
    assert [event["kind"] for event in Api(cast.ada).get(f"/events?after={after}").data] == ["conversation.resolved"]
    assert [event["kind"] for event in Api(cast.ada).get(f"/events?after={nothing.body['meta']['next_after']}").data] == [
        "conversation.resolved"
    ]


def test_an_events_own_position_serves_as_well(cast: Cast, story: Any) -> None:
    told = log_of(cast)

    assert Api(cast.ada).get(f"/events?after={told[4]['position']}").data == told[5:]


def test_who_starts_now_hears_nothing_of_before(cast: Cast, story: Any) -> None:
    now = Api(cast.ada).get("/events?after=latest")
    with isolation.act_as(cast.tenant.pk):
        presence.change(cast.olga.pk, Status.AVAILABLE)
    wait_until_final(cast)

    later = Api(cast.ada).get(f"/events?after={now.body['meta']['next_after']}")

    assert (now.data, now.body["meta"]["has_more"]) == ([], False)
    assert [(event["kind"], event["after"]) for event in later.data] == [("operator.status_changed", {"status": "AVAILABLE"})]


def test_tells_only_the_kinds_that_were_asked_for(cast: Cast, story: Any) -> None:
    assert kinds_told_to(cast.ada, "/events?kinds=conversation.moved,%20api_key.made,") == {"conversation.moved", "api_key.made"}


def test_refuses_a_kind_that_does_not_exist_and_names_those_that_do(cast: Cast) -> None:
    answer = Api(cast.ada).get("/events?kinds=conversation.moved,conversation.exploded")

    assert said(answer) == invalid(kinds=f'"kinds" must be of {", ".join(KINDS)}')


def test_tells_one_conversations_events_with_those_of_its_grace_periods(cast: Cast, story: Any) -> None:
    other = held(cast, cast.otto)
    assert Api(cast.otto).put(f"/operators/{cast.otto.pk}/status", status="OFFLINE").status == 200
    wait_until_final(cast)

    told = Api(cast.mia).get(f"/events?conversation_id={other.pk}&limit=2")
    rest = Api(cast.mia).get(f"/events?conversation_id={other.pk}&after={told.body['meta']['next_after']}")

    assert [event["kind"] for event in told.data + rest.data] == ["conversation.created", "conversation.claimed", "grace.opened"]
    assert (told.body["meta"]["has_more"], rest.body["meta"]["has_more"]) == (True, False)
    assert {event["conversation_id"] for event in told.data + rest.data} == {other.pk}


def test_operators_hear_of_their_inboxes_and_of_themselves(cast: Cast, story: Any) -> None:
    otto_hears = kinds_told_to(cast.otto)
    olga_hears = kinds_told_to(cast.olga)

    assert otto_hears == {"conversation.moved", "conversation.labelled"}, "what came to support, and what it lived through there"
    assert olga_hears == {*otto_hears, "conversation.created", "conversation.claimed", "operator.status_changed"}


def test_managers_hear_all_but_what_is_for_admins(cast: Cast, story: Any) -> None:
    everything = {event["kind"] for event in log_of(cast)}

    assert kinds_told_to(cast.ada) == everything
    assert kinds_told_to(cast.mia) == everything - FOR_ADMINS
    assert everything & FOR_ADMINS == {"api_key.made"}


def test_who_may_see_a_conversation_may_hear_its_whole_story(cast: Cast, story: Any) -> None:
    hers = [event["kind"] for event in Api(cast.otto).get(f"/events?conversation_id={story.pk}").data]

    assert hers == ["conversation.created", "conversation.claimed", "conversation.moved", "conversation.labelled"]


def test_who_may_not_see_it_is_told_as_elsewhere(cast: Cast) -> None:
    elsewhere = cast.conversation(inbox=cast.sales)
    foreign = assemble().conversation()

    assert said(Api(cast.otto).get(f"/events?conversation_id={elsewhere.pk}")) == NOT_YOUR_INBOX
    assert said(Api(cast.otto).get(f"/events?conversation_id={foreign.pk}")) == missing("Conversation")


def test_no_tenant_hears_of_another(cast: Cast, story: Any) -> None:
    neighbours = assemble()

    told = Api(neighbours.ada).get("/events?limit=1000").data

    assert told == log_of(neighbours)
    assert not {event["id"] for event in told} & {event["id"] for event in log_of(cast)}


def test_a_key_needs_the_scope_and_sees_what_its_account_sees(cast: Cast, story: Any) -> None:
    def keyed(acts_as: Operator, scope: str) -> Api:
        made = Api(cast.ada).post("/api-keys", name="CRM", operator_id=acts_as.pk, scopes=[scope])
        caller = Api(None)
        caller.headers = {"Authorization": f"Bearer {made.data['key']}"}
        return caller

    reader, other = keyed(cast.otto, "events:read"), keyed(cast.mia, "conversations:read")
    wait_until_final(cast)

    assert {event["kind"] for event in reader.get("/events").data} == {"conversation.moved", "conversation.labelled"}
    assert (other.get("/events").status, other.get("/events").body["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("after", ["garbage", "1", "1-", "-1-1", "01-1", "1-9223372036854775808", "9" * 45, "%00", "LATEST"])
def test_garbage_for_a_position_is_refused(cast: Cast, after: str) -> None:
    answer = Api(cast.ada).get(f"/events?after={after}")

    assert (answer.status, answer.body["code"]) == (400, "validation_failed")
    assert answer.fields.keys() == {"after"}


def test_a_position_that_the_log_has_not_reached_is_refused(cast: Cast) -> None:
    assert said(Api(cast.ada).get("/events?after=9223372036854775807-1")) == NOT_OURS


@pytest.mark.parametrize("limit", ["0", "1001", "1.5", "many"])
def test_a_limit_out_of_bounds_is_refused(cast: Cast, limit: str) -> None:
    answer = Api(cast.ada).get(f"/events?limit={limit}")

    assert (answer.status, list(answer.fields)) == (400, ["limit"])


def test_an_empty_log_says_where_to_go_on(cast: Cast) -> None:
    with isolation.act_as(cast.tenant.pk):
        start = Api(cast.ada).get("/events?kinds=label.deleted")

    assert (start.status, start.data, start.body["meta"]["has_more"]) == (200, [], False)
    assert Api(cast.ada).get(f"/events?after={start.body['meta']['next_after']}").status == 200
