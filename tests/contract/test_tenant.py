"""GET and PATCH /tenant: what a tenant chose, what it means in words, and how far the queue follows."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import TestCase
from kombu.exceptions import OperationalError

from conversations import recalculation, tasks
from conversations.models import Conversation
from operators.models import Operator
from tenants import isolation
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract import witness
from tests.contract.witness import REQUEST

BY_DEFAULT = (
    "A message counts like 9.6 minutes of waiting; a newcomer can overtake at most 16 hours of waiting; "
    "after 24 hours waiting longer adds nothing."
)


def change(api: Api, **settings: Any) -> Answer:
    """The settings as they are wished."""
    return api.call("PATCH", "/tenant", settings, **REQUEST)


@pytest.mark.parametrize("who", ["olga", "mia", "ada"])
def test_everybody_may_read_what_orders_the_queue(cast: Cast, api: type[Api], who: str) -> None:
    answer = api(getattr(cast, who)).get("/tenant")

    assert (answer.status, answer.data["id"], answer.data["name"]) == (200, cast.tenant.pk, cast.tenant.name)
    assert (answer.data["priority_alpha"], answer.data["priority_beta"]) == (0.4, 0.6)
    assert answer.data["in_words"] == BY_DEFAULT
    assert answer.data["ranking"] == {"up_to_date": True, "done": 0, "total": 0, "started_at": None}


@pytest.mark.parametrize("who", ["olga", "mia"])
def test_only_an_admin_may_change_it(cast: Cast, api: type[Api], who: str) -> None:
    caller: Operator = getattr(cast, who)

    with witness.untouched(cast):
        answer = change(api(caller), priority_alpha=1)

    assert witness.said(answer) == witness.role_too_low("ADMIN")


SETTINGS: list[tuple[str, Any]] = [
    ("name", "Better Ltd"),
    ("priority_alpha", 0),
    ("priority_alpha", 12.3456),
    ("priority_beta", 100),
    ("priority_beta", 0.0),
    ("message_cap", 1),
    ("delay_cap_minutes", 43_200),
    ("waiting_clock", "waiting_since"),
    ("grace_period_minutes", 1),
    ("lease_seconds", 30),
    ("lease_seconds", 3600),
    ("lease_seconds", None),
    ("operator_capacity", 10_000),
    ("operator_capacity", None),
    ("cooldown_minutes", 0),
    ("resolved_conversations_days", 1),
    ("resolved_conversations_days", 3650),
    ("resolved_conversations_days", None),
    ("events_kept_days", 7),
    ("events_kept_days", 3650),
    ("events_kept_days", None),
]


@pytest.mark.parametrize(("field", "value"), SETTINGS)
def test_a_setting_changes_alone_and_is_answered_as_it_was_sent(cast: Cast, api: type[Api], field: str, value: Any) -> None:
    before = api(cast.ada).get("/tenant").data

    answer = change(api(cast.ada), **{field: value})

    assert (answer.status, answer.body["message"], answer.data[field]) == (200, "Settings changed successfully", value)
    assert api(cast.ada).get("/tenant").data == answer.data
    others = before.keys() - {field, "in_words", "ranking", "version"}
    assert {name: answer.data[name] for name in others} == {name: before[name] for name in others}


def test_a_change_is_one_event_and_repeating_it_none(cast: Cast, api: type[Api]) -> None:
    with witness.appended(cast) as events:
        change(api(cast.ada), priority_alpha=0.5, cooldown_minutes=7)
        change(api(cast.ada), priority_alpha="0.5", cooldown_minutes=7)

    (found,) = events
    assert (found["kind"], found["actor_id"]) == ("tenant.settings_changed", cast.ada.pk)
    assert found["after"] == {"priority_alpha": 0.5, "cooldown_minutes": 7}


NO_WEIGHT: list[Any] = [
    None,
    "",
    " ",
    "abc",
    "NaN",
    "nan",
    "Infinity",
    "-inf",
    "1e400",
    "1e2",
    "1_0",
    " 0.5",
    "\N{ARABIC-INDIC DIGIT FIVE}",
]
NO_WEIGHT += [-0.1, -1, "-1", 100.0001, 101, 0.00001, 1e-9, 1e308, 2**63, True, False, [], [1], {}, "9" * 5000, "0.12345", "\0"]
NO_WHOLE: list[Any] = ["", "abc", -1, 1.5, 1e308, True, [], {}, 2**63, "1_0"]
REFUSED: list[tuple[str, list[Any]]] = [
    ("priority_alpha", NO_WEIGHT),
    ("priority_beta", NO_WEIGHT),
    ("message_cap", [*NO_WHOLE, None, 0, 1_000_001]),
    ("delay_cap_minutes", [*NO_WHOLE, None, 0, 43_201]),
    ("grace_period_minutes", [*NO_WHOLE, None, 0, 10_081]),
    ("lease_seconds", [*NO_WHOLE, 0, 29, 3601]),
    ("operator_capacity", [*NO_WHOLE, 0, 10_001]),
    ("cooldown_minutes", [*NO_WHOLE, None, 1441]),
    ("resolved_conversations_days", [*NO_WHOLE, 0, 3651]),
    ("events_kept_days", [*NO_WHOLE, 0, 6, 3651]),
    ("waiting_clock", [None, "", "created_at", 5, [], {}]),
    ("name", [None, "", " ", "a\0b", [], {}, True, "x" * 201]),
]


@pytest.mark.parametrize(("field", "values"), REFUSED, ids=[field for field, _ in REFUSED])
def test_what_is_no_setting_is_400_with_the_field_and_changes_nothing(cast: Cast, api: type[Api], field: str, values: list[Any]) -> None:
    with witness.untouched(cast):
        answers = [change(api(cast.ada), **{field: value, "cooldown_minutes" if field == "name" else "name": 9}) for value in values]

    assert [(answer.status, answer.body["code"], list(answer.fields)) for answer in answers] == [
        (400, "validation_failed", [field]) for _ in values
    ]


@pytest.mark.parametrize("raw", [b'{"priority_alpha": NaN}', b'{"priority_alpha": 1e400}', b'{"priority_beta": Infinity}'])
def test_what_json_has_no_number_for_is_400(cast: Cast, api: type[Api], raw: bytes) -> None:
    with witness.untouched(cast):
        answer = api(cast.ada).call("PATCH", "/tenant", raw)

    assert (answer.status, answer.body["code"]) == (400, "malformed_json")


@pytest.mark.parametrize("weights", [{"priority_alpha": 0, "priority_beta": 0}, {"priority_alpha": 0, "priority_beta": -0.0}])
def test_weights_that_order_nothing_are_400(cast: Cast, api: type[Api], weights: dict[str, float]) -> None:
    with witness.untouched(cast):
        answer = change(api(cast.ada), **weights)

    message = "The two weights are both 0: nothing would order the queue"
    assert witness.said(answer) == witness.refusal(400, "bad_setting", "Validation failed", {"priority_alpha": message})


def test_a_weight_that_would_leave_both_0_is_400(cast: Cast, api: type[Api]) -> None:
    change(api(cast.ada), priority_alpha=0)

    with witness.untouched(cast):
        answer = change(api(cast.ada), priority_beta=0)

    assert (answer.status, answer.body["code"], list(answer.fields)) == (400, "bad_setting", ["priority_alpha"])


def test_the_neighbours_keep_theirs(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    with witness.untouched(neighbours):
        change(api(cast.ada), priority_alpha=3, name="Mine")


# --- what follows ---------------------------------------------------------------------------------


def test_other_weights_rank_the_queue_anew_and_the_answer_tells_how_far_it_is(cast: Cast, api: type[Api]) -> None:
    rows = [cast.conversation(message_count=n + 1) for n in range(5)]
    changed = change(api(cast.ada), priority_alpha=0.7)

    heard: list[dict[str, Any]] = []
    recalculation.BATCH, batch = 2, recalculation.BATCH
    try:
        recalculation.recalculate(cast.tenant.pk, progress=lambda n: heard.append(api(cast.mia).get("/tenant").data["ranking"]))
    finally:
        recalculation.BATCH = batch

    assert changed.data["ranking"] == {"up_to_date": False, "done": 0, "total": 0, "started_at": None}
    assert [(told["up_to_date"], told["done"], told["total"]) for told in heard] == [(False, 2, 5), (False, 4, 5), (False, 5, 5)]
    told = api(cast.mia).get("/tenant").data["ranking"]
    assert told == {"up_to_date": True, "done": 5, "total": 5, "started_at": heard[0]["started_at"]}
    assert cast.again(rows[4]).credit > rows[4].credit


@pytest.mark.parametrize(("settings", "sent"), [({"priority_alpha": 0.7}, 1), ({"cooldown_minutes": 9}, 0), ({"priority_alpha": 0.4}, 0)])
def test_only_what_ranks_rest_on_sends_the_task(
    cast: Cast, api: type[Api], monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], sent: int
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(tasks.rank_anew, "delay", asked.append)

    with TestCase.captureOnCommitCallbacks(execute=True):
        change(api(cast.ada), **settings)

    assert asked == [cast.tenant.pk] * sent


def test_without_a_broker_the_change_stands_and_the_tick_catches_up(
    committed: None, api: type[Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    cast = assemble()
    row = cast.conversation(message_count=10)
    app = tasks.rank_anew.app
    monkeypatch.setattr(app.conf, "broker_url", "redis://127.0.0.1:1/0")
    # The pools remember where they connect to: this test's are its own, and the next test finds the old ones again.
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    slept: list[float] = []
    monkeypatch.setattr("kombu.utils.functional.sleep", slept.append)

    answer = change(api(cast.ada), priority_alpha=0.8)

    assert answer.status == 200
    assert slept == [], "the caller waits for a broker that is away"
    with pytest.raises(OperationalError):
        tasks.rank_anew.delay(cast.tenant.pk)
    assert recalculation.tick().reranked == 1
    assert cast.again(row).credit == 2 * row.credit
    assert api(cast.ada).get("/tenant").data["ranking"]["up_to_date"]


def test_the_task_ranks_anew_and_delivered_again_does_nothing(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    change(api(cast.ada), priority_alpha=0.8)

    assert [tasks.rank_anew(cast.tenant.pk) for _ in range(2)] == [{"reranked": 1}, {"reranked": 0}]


def test_a_second_recalculation_at_once_is_a_409_that_tells_how_far_the_first_is(cast: Cast, api: type[Api]) -> None:
    cast.conversation()
    answers: list[Answer] = []

    recalculation.recalculate(cast.tenant.pk, progress=lambda n: answers.append(api(cast.ada).post("/conversations/update-priorities")))

    message = "The queue is being ranked anew already: 1 of 1 conversations are done"
    assert [witness.said(answer) for answer in answers] == [witness.refusal(409, "ranking_runs", message, done=1, total=1)]


def test_a_row_that_weights_of_before_placed_is_told_and_ranked_by_the_next_tick(cast: Cast, api: type[Api]) -> None:
    row = cast.conversation(message_count=10)
    change(api(cast.ada), priority_alpha=0.8)
    recalculation.tick()
    with isolation.act_as(cast.tenant.pk):
        Conversation.objects.update(ranked_under=1, credit=row.credit)

    told = api(cast.ada).get("/tenant").data["ranking"]["up_to_date"]
    reranked = recalculation.tick().reranked

    assert (told, reranked, cast.again(row).credit) == (False, 1, 2 * row.credit)
    assert api(cast.ada).get("/tenant").data["ranking"]["up_to_date"]
    assert cast.again(cast.tenant).priority_alpha == Decimal("0.8")
