"""Sixteen who saw the same version, and want different things at the same instant: one gets it, the others are told to look again."""

from collections.abc import Callable

import pytest

from tests.conftest import Answer, Cast, assemble
from tests.contract.witness import held
from tests.races.over_http import Caller, callers, released

pytestmark = pytest.mark.xdist_group("over http")  # one of xdist's workers starts the servers

WRITERS = 16
Question = tuple[str, str, dict[str, object]]
Questions = list[Question]


@pytest.fixture
def cast(committed: None) -> Cast:
    return assemble()


def at_once(port: int, cast: Cast, questions: Questions, seen: int) -> list[Answer]:
    """The answers to these, each of whom saw this version."""

    def ask(caller: Caller, question: Question) -> Callable[[], Answer]:
        def run() -> Answer:
            method, path, body = question
            caller.send(method, path, body, None, **{"If-Match": f'"{seen}"'})
            return caller.receive(method)

        return run

    with callers(port, [cast.ada] * len(questions)) as connected:
        return released([ask(caller, question) for caller, question in zip(connected, questions, strict=True)])


def renamings(cast: Cast) -> Questions:
    label = cast.label()
    return [("PUT", f"/labels/{label.pk}", {"name": f"name {number}"}) for number in range(WRITERS)]


def settings(cast: Cast) -> Questions:
    return [("PATCH", "/tenant", {"cooldown_minutes": 100 + number}) for number in range(WRITERS)]


def statuses(cast: Cast) -> Questions:
    return [("PUT", f"/operators/{cast.olga.pk}/status", {"status": ("AWAY", "OFFLINE")[number % 2]}) for number in range(WRITERS)]


def limits(cast: Cast) -> Questions:
    return [("PATCH", f"/operators/{cast.olga.pk}/capacity", {"own_limit": 10 + number}) for number in range(WRITERS)]


@pytest.mark.parametrize("wishes", [renamings, settings, statuses, limits])
def test_one_of_sixteen_gets_what_they_want(product: int, cast: Cast, wishes: Callable[[Cast], Questions]) -> None:
    answers = at_once(product, cast, wishes(cast), 1)

    assert sorted(answer.status for answer in answers) == [200] + [412] * (WRITERS - 1)


def test_one_of_sixteen_reassigns_what_they_all_saw(product: int, cast: Cast) -> None:
    row = held(cast, cast.olga)
    targets = [cast.operator() for _ in range(WRITERS)]
    questions: Questions = [
        ("POST", "/conversations/reassign", {"conversation_id": row.pk, "operator_id": target.pk}) for target in targets
    ]

    answers = at_once(product, cast, questions, cast.again(row).version)

    (won,) = [answer for answer in answers if answer.status == 200]
    assert sorted(answer.status for answer in answers) == [200] + [412] * (WRITERS - 1)
    assert cast.again(row).assigned_operator_id == won.data["assigned_operator_id"]


def test_without_locks_more_of_them_do(without_locks: int, cast: Cast) -> None:
    """The control."""
    for _ in range(10):
        answers = at_once(without_locks, cast, renamings(cast), 1)
        if sum(answer.status == 200 for answer in answers) > 1:
            return
    pytest.fail("nobody was in anybody's way: this proves nothing")
