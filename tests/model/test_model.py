"""The product over HTTP against a reference that a head can hold: whatever happens to a tenant, they never differ."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import bent
from tests.model.machine import Machine
from tests.model.reference import Reference
from tests.model.side_by_side import Ground

# `make model` plays many more rounds, and others each time; the number of a round is its seed.
ROUNDS = range(int(os.environ.get("MODEL_FIRST", "1")), int(os.environ.get("MODEL_FIRST", "1")) + int(os.environ.get("MODEL_ROUNDS", "2")))
LIVES = 9  # of a round: of ten and more, Hypothesis spends some on the simplest ones, and on varying others


def play(ground: Ground, number: int, reference: type[Reference] = Reference, *, shrink: bool = True) -> None:
    """A round: some tenants' lives, of 30 steps each."""

    @seed(number)
    def machine() -> Machine:
        return Machine(ground, reference)

    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # whatever makes a machine
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=30,
            phases=phases,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("number", ROUNDS)
def test_product_and_reference_never_differ(ground: Ground, number: int, record_property: Callable[[str, object], None]) -> None:
    before = ground.steps

    play(ground, number, shrink="NOSHRINK" not in os.environ)

    record_property("steps", ground.steps - before)


@pytest.mark.parametrize("rule", [bent.LastAmongEquals, bent.OneTooMany, bent.NoCoolDown, bent.CreditLost, bent.GraceOutlivesTheReturn])
def test_control_a_bent_rule_is_noticed(ground: Ground, rule: type[Reference]) -> None:
    def some_rounds() -> None:
        for number in range(1, 10):
            play(ground, number, rule, shrink=False)

    with pytest.raises(AssertionError):
        some_rounds()
