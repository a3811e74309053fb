"""How long a blow was to be felt, by the clients and by the beat. Pure: it asks nobody."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import NamedTuple

from tests.faults.evidence import Blow
from tests.faults.history import Call, Outcome


class Ends(NamedTuple):
    """When a blow was over; None: not yet."""

    answers: float | None  # the last of the clients has had an act done since it was undone
    ticks: float | None  # a tick has ended well since


class Felt(NamedTuple):
    """How long the blows of one kind were felt: median and maximum."""

    from_the_blow: tuple[float, float]
    from_its_undoing: tuple[float, float]


def ends_of(blow: Blow, history: Iterable[Call], ticks: Iterable[float]) -> Ends:
    """When this blow was over, by all that is known so far."""
    first = dict[str, float]()  # what each client had done first since then
    clients = set[str]()
    for call in history:
        client = call.id.rpartition("-")[0]
        if "-client-" not in call.id:
            continue
        clients.add(client)
        if call.outcome is Outcome.OK and call.ended >= blow.undone:
            first[client] = min(call.ended, first.get(client, call.ended))
    answers = max(first.values()) if clients and clients == first.keys() else None
    return Ends(answers, next((tick for tick in ticks if tick >= blow.undone), None))


def felt(blows: Sequence[Blow], ends: Sequence[float | None]) -> Iterator[tuple[str, Felt]]:
    """For each kind of blow, of which `ends` tells when they were over; without those of which nobody knows."""
    for kind in sorted({blow.kind for blow in blows}):
        known = [(blow, end) for blow, end in zip(blows, ends, strict=True) if blow.kind == kind and end is not None]
        if known:
            yield kind, Felt(spread([end - blow.struck for blow, end in known]), spread([end - blow.undone for blow, end in known]))


def spread(seconds: Sequence[float]) -> tuple[float, float]:
    """Median and maximum."""
    return median(seconds), max(seconds)
