"""How often somebody may ask. All limits of one question are looked at, and taken from, in one atomic step of Valkey.

The generic cell rate algorithm: what is kept of a limit is one instant, the theoretical arrival time of the next question if
all came evenly. A question that moves it further than a whole window ahead is refused. So `quota` may come at once, and then
one every window/quota. Valkey's clock decides. Source: ITU-T I.371, annex A; the headers' words are those of
draft-ietf-httpapi-ratelimit-headers-10.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

from convalloc.errors import DomainError, Kind

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 0.25  # with Valkey, for one step
ASIDE_SECONDS = 1.0  # in which nobody of this process asks it again after it did not answer
# All or none: a question that one limit refuses takes nothing from the others. Microseconds ahead come back, of each limit.
STEP = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local refused, arrivals, ahead = 0, {}, {}
for i, key in ipairs(KEYS) do
    local quota, window = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    arrivals[i] = math.max(now, tonumber(redis.call('GET', key) or now)) + window / quota
    if arrivals[i] - now > window then refused = 1 end
end
for i, key in ipairs(KEYS) do
    ahead[i] = math.floor(arrivals[i] - now)
    if refused == 0 then
        redis.call('SET', key, string.format('%.0f', arrivals[i]), 'PX', math.ceil(ahead[i] / 1000) + 1)
    end
end
return {refused, unpack(ahead)}
"""
GIVE_BACK = """
for i, key in ipairs(KEYS) do
    local arrival = redis.call('GET', key)
    if arrival then
        redis.call('SET', key, string.format('%.0f', arrival - ARGV[2 * i] / ARGV[2 * i - 1]), 'KEEPTTL')
    end
end
"""


class Limit(NamedTuple):
    """At most `quota` in `window` seconds, of whom `key` names; `name` is what clients are told."""

    name: str
    key: str
    quota: int
    window: int

    @property
    def policy(self) -> str:
        """Its part of the header RateLimit-Policy."""
        return f'"{self.name}";q={self.quota};w={self.window}'


class Standing(NamedTuple):
    """How a limit stands after a question: how many more may come at once, and after how many seconds the whole quota may."""

    limit: Limit
    remaining: int
    reset: int

    @property
    def state(self) -> str:
        """Its part of the header RateLimit."""
        return f'"{self.limit.name}";r={self.remaining};t={self.reset}'


class RateLimited(DomainError):
    """Too many requests: try again in {retry_after_seconds} s"""

    kind = Kind.LIMITED
    code = "rate_limited"

    def __init__(self, *, standings: Sequence[Standing] = (), **details: Any) -> None:
        super().__init__(**details)
        self.standings = list(standings)


class Away(RuntimeError):
    """Valkey does not answer. Whoever counts decides what that means: let everybody in, or nobody."""


def take(limits: Sequence[Limit]) -> list[Standing]:
    """One question: counted by all of these limits, or, where one of them refuses, by none. Raises RateLimited, Away."""
    if not limits:
        return []
    refused, *ahead = _run(STEP, limits)
    standings = [_standing(limit, microseconds, refused=bool(refused)) for limit, microseconds in zip(limits, ahead, strict=True)]
    if refused:
        over = max(microseconds / 1e6 - limit.window for limit, microseconds in zip(limits, ahead, strict=True))
        raise RateLimited(retry_after_seconds=max(1, math.ceil(over)), standings=standings)
    return standings


def tell(response: Any, standings: Sequence[Standing]) -> None:
    """Say in a response's headers how its client stands; nothing where nothing was counted."""
    if standings:
        response["RateLimit-Policy"] = ", ".join(standing.limit.policy for standing in standings)
        response["RateLimit"] = ", ".join(standing.state for standing in standings)


def give_back(limits: Sequence[Limit]) -> None:
    """A question that was counted shall not count. Raises Away."""
    _run(GIVE_BACK, limits)


def forgive(limits: Sequence[Limit]) -> None:
    """What these have counted is forgotten. Raises Away."""
    with _answering() as valkey:
        valkey.delete(*[limit.key for limit in limits])


def remember(key: str, seconds: int) -> None:
    """Note that something was so, for a while. Raises Away."""
    with _answering() as valkey:
        valkey.set(key, 1, ex=seconds)


def is_remembered(key: str) -> bool:
    """Whether it was noted, and not too long ago. Raises Away."""
    with _answering() as valkey:
        return bool(valkey.exists(key))


def _run(script: str, limits: Sequence[Limit]) -> Any:
    numbers = [number for limit in limits for number in (limit.quota, limit.window * 1_000_000)]
    with _answering() as valkey:
        return valkey.register_script(script)(keys=[limit.key for limit in limits], args=numbers)


def _standing(limit: Limit, microseconds: int, *, refused: bool) -> Standing:
    ahead = microseconds / 1e6
    if refused and ahead > limit.window:
        return Standing(limit, 0, math.ceil(ahead - limit.window / limit.quota))
    free = int((limit.window - ahead) * limit.quota / limit.window + 1e-6)
    return Standing(limit, free, math.ceil(ahead))


_aside_until = float("-inf")


@contextmanager
def _answering() -> Iterator[Any]:
    """Valkey, unless it did not answer a moment ago. Raises Away."""
    global _aside_until
    if not settings.REDIS_URL or time.monotonic() < _aside_until:
        raise Away
    try:
        yield _valkey(settings.REDIS_URL)
    except redis.exceptions.RedisError as problem:
        _aside_until = time.monotonic() + ASIDE_SECONDS
        log.warning("Valkey does not answer, and counts nothing for %s s: %s", ASIDE_SECONDS, type(problem).__name__)
        raise Away from problem


@cache
def _valkey(url: str) -> Any:
    return redis.Redis.from_url(
        url, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0), decode_responses=True
    )
