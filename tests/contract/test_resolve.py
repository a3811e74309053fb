"""POST /conversations/resolve: the work is done."""

from conversations.models import Assignment, GracePeriod
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.witness import REQUEST

NOT_THE_HOLDER = witness.refusal(403, "not_the_holder", "You do not have permission to do this to a conversation that you do not hold")


def test_the_holder_resolves(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    answer = api(cast.olga).post("/conversations/resolve", conversation_id=conversation.pk)

    assert answer.status == 200, answer.body
    assert answer.body["message"] == "Conversation resolved successfully"
    assert (answer.data["state"], answer.data["assigned_operator_id"], answer.data["assignment"]) == ("RESOLVED", None, None)
    assert answer.data["resolved_at"].endswith("Z")
    assert answer.data["version"] == conversation.version + 1


def test_appends_one_event_and_ends_the_assignment(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)

    with witness.appended(cast) as events:
        answer = api(cast.olga).call("POST", "/conversations/resolve", {"conversation_id": conversation.pk}, **REQUEST)

    [event] = events
    resolved_at = event["after"].pop("resolved_at")
    before = {"state": "ALLOCATED", "assigned_operator_id": cast.olga.pk, "resolved_at": None, "version": 2}
    after = {"state": "RESOLVED", "assigned_operator_id": None, "version": 3}
    assert event == witness.event("conversation.resolved", conversation, cast.olga, before, after)
    assert resolved_at[:22] == answer.data["resolved_at"][:22]
    with isolation.act_as(cast.tenant.pk):
        assignment = Assignment.objects.get(conversation_id=conversation.pk)
    assert (assignment.end_reason, assignment.ended_at is None) == ("resolved", False)


def test_repeating_it_is_200_and_changes_nothing(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    first = api(cast.olga).post("/conversations/resolve", conversation_id=conversation.pk)

    with witness.untouched(cast):
        again = api(cast.olga).post("/conversations/resolve", conversation_id=conversation.pk)

    assert again.status == 200
    assert again.data["resolved_at"] == first.data["resolved_at"]


def test_what_somebody_else_resolved_is_a_conflict(cast: Cast, api: type[Api]) -> None:
    done = witness.resolved(cast, cast.olga)

    with witness.untouched(cast):
        answers = [api(caller).post("/conversations/resolve", conversation_id=done.pk) for caller in (cast.mia, cast.otto)]

    assert [witness.said(answer) for answer in answers] == [witness.ALREADY_RESOLVED] * 2


def test_who_may_not_see_it_hears_nothing_of_its_state(cast: Cast, api: type[Api]) -> None:
    unseen = [cast.conversation(inbox=cast.sales), witness.resolved(cast, cast.olga, inbox=cast.sales)]

    with witness.untouched(cast):
        answers = [api(cast.otto).post("/conversations/resolve", conversation_id=row.pk) for row in unseen]

    assert [(answer.status, answer.body["code"]) for answer in answers] == [(403, "not_your_inbox")] * 2


def test_whoever_does_not_hold_it_may_not(cast: Cast, api: type[Api]) -> None:
    held, waiting = witness.held(cast, cast.otto), cast.conversation()

    def resolve(conversation_id: int) -> Answer:
        return api(cast.olga).post("/conversations/resolve", conversation_id=conversation_id)

    with witness.untouched(cast):
        answers = [resolve(held.pk), resolve(waiting.pk)]

    assert [witness.said(answer) for answer in answers] == [NOT_THE_HOLDER] * 2


def test_managers_and_admins_resolve_what_others_hold_and_what_nobody_holds(cast: Cast, api: type[Api]) -> None:
    held, waiting = witness.held(cast, cast.olga), cast.conversation()

    answers = [
        api(cast.mia).post("/conversations/resolve", conversation_id=held.pk),
        api(cast.ada).post("/conversations/resolve", conversation_id=waiting.pk),
    ]

    assert [(answer.status, answer.data["state"]) for answer in answers] == [(200, "RESOLVED")] * 2


def test_resolving_in_grace_ends_the_grace_period(cast: Cast, api: type[Api]) -> None:
    conversation = witness.held(cast, cast.olga)
    api(cast.olga).put(f"/operators/{cast.olga.pk}/status", status="OFFLINE")

    with witness.appended(cast) as events:
        api(cast.olga).post("/conversations/resolve", conversation_id=conversation.pk)

    assert [event["kind"] for event in events] == ["grace.cancelled", "conversation.resolved"]
    with isolation.act_as(cast.tenant.pk):
        assert GracePeriod.objects.get(conversation_id=conversation.pk).end_reason == "assignment_ended"


def test_what_does_not_exist_is_missing(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/resolve", conversation_id=987654321)

    assert witness.said(answer) == witness.missing("Conversation")


def test_needs_the_conversation(cast: Cast, api: type[Api]) -> None:
    answer = api(cast.olga).post("/conversations/resolve")

    assert witness.said(answer) == witness.required("conversation_id")
