"""A run in figures, for a person."""

from collections import Counter
from collections.abc import Iterator

from tests.faults.chaos import Chaos
from tests.faults.checker import DONE_BY, Verdict
from tests.faults.evidence import PROOFS, done_under_fire
from tests.faults.recovery import Felt, felt


def report(chaos: Chaos, verdict: Verdict) -> str:
    """What happened, what was found, how long each kind of blow was felt, and how each kind of call ended."""
    history, last = chaos.ground.history, chaos.blows[-1]
    outcomes = Counter(call.outcome.value for call in history)
    lines = [
        f"{len(chaos.blows)} faults, {len(history)} operations: {dict(outcomes)}",
        *(f"{name} {len(found)}" for name, found in vars(verdict).items()),
        f"until everything waited again: {chaos.recovered - last.struck:.1f} s from the last blow, "
        f"{chaos.recovered - last.undone:.1f} s from its undoing",
        f"until all {chaos.drained} were handed out and resolved: {chaos.drained_at - last.undone:.1f} s from its undoing",
        *around_the_blows(chaos),
        *pains(chaos),
        *acts(chaos),
    ]
    said = Counter((call.act, call.said) for call in history)
    return "\n".join([*lines, *(f"{number:7} {act}: {how}" for (act, how), number in sorted(said.items()))]) + "\n"


def around_the_blows(chaos: Chaos) -> Iterator[str]:
    """How often each kind struck, by the evidence, and how the calls ended that ended between blow and undoing."""
    for kind in sorted({blow.kind for blow in chaos.blows}):
        blows = [blow for blow in chaos.blows if blow.kind == kind]
        ends = Counter(
            call.outcome.value for call in chaos.ground.history if any(blow.struck <= call.ended < blow.undone for blow in blows)
        )
        yield f"{sum(map(PROOFS[kind], blows)):7} of {len(blows)} times {kind} struck: {dict(ends)}"


def pains(chaos: Chaos) -> Iterator[str]:
    """How long each kind was felt."""
    ends = [chaos.ends(blow) for blow in chaos.blows]
    tables = {
        "until each client has had an act done": [end.answers for end in ends],
        "until a tick has ended well": [end.ticks for end in ends],
    }
    for until, known in tables.items():
        yield f"{until}: seconds from the blow (median, max), from its undoing (median, max)"
        for kind, pain in felt(chaos.blows, known):
            yield f"{kind:>28} {figures(pain)}"


def figures(pain: Felt) -> str:
    """In columns."""
    return " ".join(f"{seconds:7.1f}" for seconds in (*pain.from_the_blow, *pain.from_its_undoing))


def acts(chaos: Chaos) -> Iterator[str]:
    """What was done between the first blow and the end of the last, by the clients and by the clock."""
    done = done_under_fire(chaos.ground.history, chaos.blows)
    yield "done under fire: " + ", ".join(f"{act} {done[act]}" for act in DONE_BY)
    yield "by the clock: " + ", ".join(f"{what} {number}" for what, number in sorted(chaos.by_the_clock.items()))
