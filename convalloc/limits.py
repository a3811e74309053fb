"""How often somebody may ask. All limits of one question are looked at, and taken from, in one atomic step of Valkey.

The generic cell rate algorithm: what is kept of each limit is one instant, the theoretical arrival time (TAT) of the next
question if all came evenly. A question is early, and refused, when TAT lies more than the whole window ahead. So `quota`
may come at once, and then one every window/quota. Valkey's clock decides. Sources: ITU-T I.371, annex A; the names of the
headers: draft-ietf-httpapi-ratelimit-headers-10.
"""

import logging
import math
import threading
import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import redis
from django.conf import settings

from convalloc.errors import DomainError, Kind

log = logging.getLogger(__name__)

ASIDE_SECONDS = 1.0  # after a failure nobody asks Valkey for so long: an absent one costs one request a second its patience, not each
PATIENCE_SECONDS = 0.25
# All or none: a question that one limit refuses takes nothing from the others.
STEP = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers, refused, tats = {}, 0, {}
for i, key in ipairs(KEYS) do
    local quota, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local tat = math.max(now, tonumber(redis.call('GET', key) or now))
    local next = tat + window / quota
    tats[i] = next
    if next - now > window then refused = 1 else next = next end
    answers[i] = next - now
end
for i, key in ipairs(KEYS) do
    if refused == 0 then
        redis.call('SET', key, string.format('%.0f', tats[i]), 'PX', math.ceil((tats[i] - now) / 1000) + 1)
    end
    answers[i] = string.format('%.0f', answers[i])
end
return {refused, unpack(answers)}
"""


class RateLimited(DomainError):
    """Too many requests: try again in {retry_after_seconds} seconds"""

    kind = Kind.LIMITED
    code = "rate_limited"


class Away(RuntimeError):
    """Valkey does not answer: whoever counts must choose between letting everybody in and nobody."""


class Limit(NamedTuple):
    """At most `quota` in `window` seconds, of whom `key` names; `name` is what clients are told."""

    name: str
    key: str
    quota: int
    window: int


class Standing(NamedTuple):
    """How a limit stands after a question: how many more may come now, and in how many seconds the whole quota may come again."""

    limit: Limit
    remaining: int
    reset: int

    @property
    def policy(self) -> str:
        """Its part of the header RateLimit-Policy."""
        return f'"{self.limit.name}";q={self.limit.quota};w={self.limit.window}'

    @property
    def state(self) -> str:
        """Its part of the header RateLimit."""
        return f'"{self.limit.name}";r={self.remaining};t={self.reset}'


class _Aside:
    """Since when nobody asks Valkey; shared by the threads of a process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = float("-inf")


_aside = _Aside()


def take(limits: Sequence[Limit]) -> list[Standing]:
    """One question: counted by all of these limits, or, where one refuses, by none. Raises RateLimited, Away."""
    if not limits:
        return []
    refused, *ahead = _ask([limit.key for limit in limits], [number for limit in limits for number in (limit.quota, limit.window * 1_000_000)])
    standings = [_standing(limit, float(microseconds), refused=bool(refused)) for limit, microseconds in zip(limits, ahead, strict=True)]
    if refused:
        worst = max(float(microseconds) / 1e6 - limit.window for limit, microseconds in zip(limits, ahead, strict=True))
        raise RateLimited(retry_after_seconds=max(1, math.ceil(worst)))
    return standings


def forgive(limits: Iterable[Limit]) -> None:
    """What these have counted is forgotten. Raises Away."""
    with _answering():
        _client().delete(*[limit.key for limit in limits])


def _standing(limit: Limit, microseconds: float, *, refused: bool) -> Standing:
    seconds = microseconds / 1e6
    remaining = 0 if refused else int((limit.window - seconds) * limit.quota / limit.window + 1e-6)
    return Standing(limit, remaining, math.ceil(seconds))
