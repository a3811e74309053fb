"""Who sees which events: the filter of the database and the question about one event give the same answer, of every kind and role."""

from itertools import product
from typing import Any

import pytest

from operators.models import Operator, Role
from operators.sight import Viewer
from tenants import isolation
from tenants.kinds import FOR_ADMINS, KINDS
from tenants.models import Event
from tests.conftest import Cast

# What an event can be about, in the eyes of Olga, who answers at the inbox `here`.
SIDES: dict[str, dict[str, Any]] = {
    "nobody's": {},
    "at her inbox": {"inbox_id": "here"},
    "at another inbox": {"inbox_id": "there"},
    "moved away from her inbox": {"inbox_id": "there", "before": {"inbox_id": "here"}},
    "moved between others": {"inbox_id": "there", "before": {"inbox_id": "there"}},
    "held by her elsewhere": {"inbox_id": "there", "holder_id": "olga"},
    "held by another elsewhere": {"inbox_id": "there", "holder_id": "otto"},
    "taken from her elsewhere": {"inbox_id": "there", "before": {"assigned_operator_id": "olga"}},
    "taken from another elsewhere": {"inbox_id": "there", "before": {"assigned_operator_id": "otto"}},
    "done to her": {"subject_type": "operator", "subject_id": "olga"},
    "done to another": {"subject_type": "operator", "subject_id": "otto"},
    "of something with her number": {"subject_type": "tenant", "subject_id": "olga"},
    "with nulls": {"before": {"inbox_id": None, "assigned_operator_id": None}},
}
HERS = {
    "at her inbox",
    "moved away from her inbox",
    "held by her elsewhere",
    "taken from her elsewhere",
    "done to her",
}


@pytest.fixture
def log(cast: Cast) -> list[Event]:
    """An event of every kind on every side, and nothing else."""
    names = {"here": cast.support.pk, "there": cast.sales.pk, "olga": cast.otto.pk, "otto": cast.olga.pk}  # Otto answers at support alone

    def named(value: Any) -> Any:
        return {name: named(inner) for name, inner in value.items()} if isinstance(value, dict) else names.get(value, value)

    plain = {"subject_type": "conversation", "subject_id": 1, "before": {}, "after": {}}
    with isolation.act_as(cast.tenant.pk):
        return Event.objects.bulk_create(
            Event(tenant_id=cast.tenant.pk, kind=kind, cause=side, **{**plain, **named(SIDES[side])})
            for kind, side in product(KINDS, SIDES)
        )


def seen_both_ways(cast: Cast, viewer: Viewer, log: list[Event]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(kind, side) by the filter and by the question."""
    with isolation.act_as(cast.tenant.pk):
        filtered = Event.objects.filter(viewer.filter(), pk__in=[event.pk for event in log])
        return {(event.kind, event.cause) for event in filtered}, {(event.kind, event.cause) for event in log if viewer.sees(event)}


@pytest.mark.parametrize(
    ("who", "sides", "kinds"),
    [("ada", set(SIDES), KINDS.keys()), ("mia", set(SIDES), KINDS.keys() - FOR_ADMINS), ("otto", HERS, KINDS.keys() - FOR_ADMINS)],
)
def test_both_forms_of_the_rule_agree_on_every_kind(cast: Cast, log: list[Event], who: str, sides: set[str], kinds: set[str]) -> None:
    operator: Operator = getattr(cast, who)
    with isolation.act_as(cast.tenant.pk):
        viewer = Viewer.of(operator)

    by_filter, by_question = seen_both_ways(cast, viewer, log)

    assert by_filter == by_question == set(product(kinds, sides))


def test_who_answers_nowhere_sees_what_they_hold_and_what_is_done_to_them(cast: Cast, log: list[Event]) -> None:
    viewer = Viewer(cast.otto.pk, Role.OPERATOR)

    by_filter, by_question = seen_both_ways(cast, viewer, log)

    assert by_filter == by_question
    assert {side for _, side in by_filter} == HERS - {"at her inbox", "moved away from her inbox"}
