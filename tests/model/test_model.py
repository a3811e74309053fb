"""The product over HTTP against a reference that a head can hold: whatever happens to a tenant, they never differ."""

import os
import sys

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model import bent
from tests.model.machine import Machine
from tests.model.reference import Reference
from tests.model.side_by_side import Ground

pytestmark = pytest.mark.xdist_group("model")

# The number of a round is its seed: the same lives every time. `make model` plays many more of them.
FIRST, ROUNDS = int(os.environ.get("MODEL_FIRST", "1")), int(os.environ.get("MODEL_ROUNDS", "1"))
LIVES = 9  # of a round: of ten and more, Hypothesis spends some on the simplest ones, and on varying others
STEPS = 25  # of a life


def play(ground: Ground, number: int, reference: type[Reference] = Reference, *, shrink: bool = True) -> None:
    """A round: some tenants' lives."""

    @seed(number)
    def machine() -> Machine:
        return Machine(ground, reference)

    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # whatever makes a machine
        settings=settings(
            max_examples=LIVES,
            stateful_step_count=STEPS,
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("number", range(FIRST, FIRST + ROUNDS))
def test_product_and_reference_never_differ(ground: Ground, number: int) -> None:
    before = ground.steps

    play(ground, number)

    assert ground.steps - before > LIVES * STEPS
    sys.stdout.write(f"{ground.steps - before} comparisons, no divergence")


@pytest.mark.parametrize("rule", bent.RULES)
def test_control_a_bent_rule_is_noticed(ground: Ground, rule: type[Reference]) -> None:
    def some_rounds() -> None:
        for number in range(1, 10):
            play(ground, number, rule, shrink=False)

    with pytest.raises(AssertionError):
        some_rounds()
