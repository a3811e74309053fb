"""The catalogue of kinds: every kind that the product appends, with a schema that is one, and an example that fits it."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from conversations.models import GracePeriod
from conversations.states import State
from conversations.timeline import SENTENCES
from operators.api.permissions import MATRIX
from operators.models import Role, Status
from tenants.kinds import KINDS, Kind
from tenants.kinds.kind import CARRIED
from tenants.models import Tenant
from tests.architecture.reference import event_kinds

BY_INGEST = {"message.received", "conversation.reopened"}
ACTS = "created|allocated|claimed|reassigned|released|deallocated|requeued|moved|resolved|reopened|labelled|unlabelled"


def test_knows_every_kind_that_the_product_appends_and_no_other() -> None:
    assert event_kinds() | BY_INGEST == KINDS.keys()


def test_knows_what_integrators_were_promised() -> None:
    promised = {f"conversation.{act}" for act in ACTS.split("|")} | {
        "operator.status_changed",
        "tenant.settings_changed",
        "message.received",
    }

    assert promised | {"grace.opened", "grace.cancelled", "grace.expired"} <= KINDS.keys()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_kind_has_a_schema_a_sentence_a_cause_and_an_example_that_fits(kind: Kind) -> None:
    Draft202012Validator.check_schema(kind.schema())

    assert list(Draft202012Validator(kind.schema()).iter_errors(kind.example())) == []
    assert kind.says.endswith(".")
    assert kind.by or kind.else_by
    assert set(kind.by) <= MATRIX.keys()
    assert kind.sometimes <= kind.before.keys() | kind.after.keys()


@pytest.mark.parametrize(
    "spoiled",
    [
        {"kind": "conversation.resolved"},
        {"conversation_id": None},
        {"subject": {"type": "operator", "id": 6}},
        {"at": "yesterday"},
        {"after": {}},
        {"after": {"state": "LOST", "assigned_operator_id": 1, "version": 4}},
    ],
)
def test_a_schema_refuses_what_is_no_such_event(spoiled: dict[str, Any]) -> None:
    kind = KINDS["conversation.claimed"]

    assert list(Draft202012Validator(kind.schema()).iter_errors(kind.example() | spoiled))


def test_every_form_is_carried_by_something() -> None:
    assert {name for kind in KINDS.values() for facts in (kind.before, kind.after) for name in facts} == CARRIED.keys()


def test_the_words_of_the_forms_are_the_models() -> None:
    words = {
        "state": State.values,
        "status": Status.values,
        "role": Role.values,
        "end_reason": GracePeriod.EndReason.values,
        "waiting_clock": Tenant.WaitingClock.values,
    }

    assert {name: CARRIED[name]["enum"] for name in words} == words


def test_the_timeline_has_a_sentence_for_every_kind_that_can_stand_in_it() -> None:
    assert {kind.split(" ")[0] for kind in SENTENCES} == {kind.name for kind in KINDS.values() if kind.of_a_conversation}
