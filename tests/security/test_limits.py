"""How often somebody may ask: by address, caller and organisation, and how often a password may be tried."""

import re
import socket
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import redis
from django.conf import settings as django_settings
from django.db import OperationalError
from django.test import RequestFactory
from pytest_django.fixtures import Settings

from convalloc import limits
from convalloc.api.requests import address_of
from convalloc.limits import Limit, RateLimited
from operators import sign_in_guard, staff
from operators.errors import WrongCredentials
from operators.models import Operator
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.races.crowd import together

PASSWORD = "correct horse battery"
NOBODY = "redis://127.0.0.1:1/0"
_numbers = count(1)


def limit(quota: int, window: int = 60) -> Limit:
    """A limit that nobody has used yet."""
    return Limit("test", f"test:{time.time_ns()}:{next(_numbers)}", quota, window)


@pytest.fixture
def valkey_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens where the settings say."""
    settings.REDIS_URL = NOBODY
    monkeypatch.setattr(limits, "_aside_until", float("-inf"))


# --- the step -------------------------------------------------------------------------------------


def test_the_whole_quota_may_come_at_once_and_then_one_at_a_time() -> None:
    three = limit(3, window=3)

    left = [limits.take([three])[0].remaining for _ in range(3)]
    with pytest.raises(RateLimited) as refusal:
        limits.take([three])

    assert left == [2, 1, 0]
    assert refusal.value.details == {"retry_after_seconds": 1}
    time.sleep(1.1)
    assert limits.take([three])
    with pytest.raises(RateLimited):
        limits.take([three])


def test_what_one_limit_refuses_takes_nothing_from_the_others() -> None:
    narrow, wide = limit(1), limit(10)
    limits.take([narrow, wide])

    for _ in range(5):
        with pytest.raises(RateLimited):
            limits.take([narrow, wide])

    assert limits.take([wide])[0].remaining == 8


def test_what_is_given_back_may_come_again() -> None:
    two = limit(2)
    limits.take([two])
    limits.take([two])

    limits.give_back([two])

    assert limits.take([two])[0].remaining == 0
    with pytest.raises(RateLimited):
        limits.take([two])


def test_nothing_is_kept_longer_than_it_counts() -> None:
    used = limit(10, window=10)

    limits.take([used])

    assert 0 < redis.Redis.from_url(_url()).pttl(used.key) <= 1002


def _url() -> str:
    return str(django_settings.REDIS_URL)


def admitted(act: Callable[[], Any], callers: int = 100) -> int:
    """How many of so many at the same instant were let in."""
    outcomes = together([act] * callers)
    assert {type(outcome) for outcome in outcomes if isinstance(outcome, Exception)} <= {RateLimited}
    return sum(not isinstance(outcome, Exception) for outcome in outcomes)


def test_of_a_hundred_at_the_same_instant_as_many_are_let_in_as_the_limit_says(committed: None) -> None:
    twenty = limit(20, window=3600)

    assert admitted(lambda: limits.take([twenty])) == 20


def test_control_to_look_and_then_to_count_lets_in_more(committed: None) -> None:
    valkey, key = redis.Redis.from_url(_url()), limit(20).key

    def look_then_count() -> None:
        if int(valkey.get(key) or 0) >= 20:
            raise RateLimited(retry_after_seconds=1)
        valkey.incr(key)

    assert admitted(look_then_count) > 20


# --- of the API -----------------------------------------------------------------------------------


def refused(answer: Answer) -> bool:
    """Whether it was refused for coming too often, in the envelope and with the headers."""
    if answer.status != 429:
        return False
    assert answer.body["code"] == "rate_limited"
    assert int(answer.headers["Retry-After"]) == answer.body["details"]["retry_after_seconds"] >= 1
    assert re.fullmatch(r'("[a-z]+";r=\d+;t=\d+(, )?)+', answer.headers["RateLimit"])
    return True


def test_a_caller_is_told_how_they_stand(cast: Cast, api: type[Api], settings: Settings) -> None:
    settings.RATE_LIMIT_CALLER, settings.RATE_LIMIT_TENANT = 10, 100

    answer = api(cast.olga).get("/inboxes")

    assert answer.headers["RateLimit-Policy"] == '"caller";q=10;w=60, "tenant";q=100;w=60'
    assert answer.headers["RateLimit"] == '"caller";r=9;t=6, "tenant";r=99;t=1'


def test_who_asks_too_often_is_refused_and_changes_nothing_and_their_colleague_goes_on(
    cast: Cast, api: type[Api], settings: Settings
) -> None:
    settings.RATE_LIMIT_CALLER = 2
    row = cast.conversation()
    for _ in range(2):
        api(cast.olga).get("/inboxes")

    with witness.untouched(cast):
        answer = api(cast.olga).post("/conversations/claim", operator_id=cast.olga.pk, conversation_id=row.pk)

    assert refused(answer)
    assert api(cast.otto).get("/inboxes").status == 200


def test_what_a_caller_may_not_counts_too(cast: Cast, api: type[Api], settings: Settings) -> None:
    settings.RATE_LIMIT_CALLER = 2

    answers = [api(cast.olga).get("/operators") for _ in range(3)]

    assert [answer.status for answer in answers] == [403, 403, 429]
    assert answers[0].headers["RateLimit"].startswith('"caller";r=1')


def test_an_organisation_has_a_limit_of_its_own_and_its_neighbour_another(
    cast: Cast, neighbours: Cast, api: type[Api], settings: Settings
) -> None:
    settings.RATE_LIMIT_TENANT = 2
    api(cast.olga).get("/inboxes")
    api(cast.otto).get("/inboxes")

    assert refused(api(cast.mia).get("/inboxes"))
    assert api(neighbours.mia).get("/inboxes").status == 200


def test_a_program_is_counted_apart_from_whom_it_acts_as(cast: Cast, api: type[Api], settings: Settings) -> None:
    made = api(cast.ada).post("/api-keys", name="CRM", operator_id=cast.mia.pk, scopes=["conversations:read"]).data
    program = api(None)
    program.headers = {"Authorization": f"Bearer {made['key']}"}
    settings.RATE_LIMIT_CALLER = 1

    answers = [program.get("/conversations"), program.get("/conversations"), api(cast.mia).get("/conversations")]

    assert [answer.status for answer in answers] == [200, 429, 200]


def test_an_address_is_counted_before_anybody_is_asked_for_a_name(cast: Cast, api: type[Api], settings: Settings) -> None:
    settings.RATE_LIMIT_ADDRESS = 2
    somebody = api(None)

    answers = [somebody.get("/inboxes") for _ in range(3)]

    assert [answer.status for answer in answers] == [401, 401, 429]
    assert refused(answers[2])
    assert somebody.get("/health").status == 200
    assert api(None).get("/inboxes").status == 401, "another address"


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/admin/login/", "/api/v1/healthy"])
def test_so_is_whatever_else_asks_the_database_for_a_stranger(db: None, api: type[Api], settings: Settings, path: str) -> None:
    settings.RATE_LIMIT_ADDRESS = 1
    somebody = api(None).client

    statuses = [somebody.get(path).status_code for _ in range(2)]

    assert statuses[0] != 429
    assert statuses[1] == 429


def test_without_valkey_whoever_is_signed_in_goes_on(cast: Cast, api: type[Api], settings: Settings, valkey_away: None) -> None:
    settings.RATE_LIMIT_CALLER = settings.RATE_LIMIT_ADDRESS = 1

    answers = [api(cast.olga).get("/inboxes") for _ in range(3)]

    assert [answer.status for answer in answers] == [200] * 3
    assert "RateLimit" not in answers[0].headers


def test_a_valkey_that_does_not_answer_is_asked_once_a_second_and_not_by_everybody(valkey_away: None, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings.REDIS_URL = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"

        for _ in range(20):
            with pytest.raises(limits.Away):
                limits.take([limit(1)])

        deaf.settimeout(0)
        deaf.accept()[0].close()
        with pytest.raises(BlockingIOError):
            deaf.accept()


@pytest.mark.parametrize(
    ("proxies", "forwarded", "remote", "address"),
    [
        (0, "", "10.1.1.1", "10.1.1.1"),
        (0, "6.6.6.6", "10.1.1.1", "10.1.1.1"),  # nobody stands in front: anybody may have written it
        (1, "203.0.113.7", "10.1.1.1", "203.0.113.7"),
        (1, "6.6.6.6, 203.0.113.7", "10.1.1.1", "203.0.113.7"),
        (2, "6.6.6.6, 203.0.113.7, 10.0.0.2", "10.1.1.1", "203.0.113.7"),
        (2, "203.0.113.7", "10.1.1.1", "10.1.1.1"),  # fewer than there should be: not by the way that we know
        (1, "nonsense", "10.1.1.1", "unknown"),
        (1, "203.0.113.7:50123", "10.1.1.1", "203.0.113.7"),  # with a port, as some proxies have it
        (1, "[2001:db8:1:2::1]:443", "10.1.1.1", "2001:db8:1:2::"),
        (1, "[2001:db8:1:2::1]", "10.1.1.1", "2001:db8:1:2::"),
        (1, "203.0.113.7:port", "10.1.1.1", "unknown"),
        (1, "2001:db8:1:2:aaaa::1", "10.1.1.1", "2001:db8:1:2::"),
        (1, "2001:db8:1:2:bbbb::2", "10.1.1.1", "2001:db8:1:2::"),
        (1, "::ffff:203.0.113.7", "10.1.1.1", "203.0.113.7"),
        (0, "", "", "unknown"),
    ],
)
def test_whom_a_question_came_from(settings: Settings, proxies: int, forwarded: str, remote: str, address: str) -> None:
    settings.TRUSTED_PROXIES = proxies
    request = RequestFactory().get("/api/v1/me", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR=remote)

    assert address_of(request) == address


# --- of passwords ---------------------------------------------------------------------------------


@pytest.fixture
def olga(cast: Cast) -> Operator:
    """Olga, who knows her password."""
    with isolation.act_as(cast.tenant.pk):
        return staff.set_password(cast.olga.pk, PASSWORD)


def tries(somewhere: Api, email: str, *passwords: str) -> list[int]:
    """The statuses of these tries from one place."""
    return [somewhere.post("/auth/token", email=email, password=password).status for password in passwords]


def test_after_five_wrong_passwords_the_right_one_is_not_looked_at(cast: Cast, api: type[Api], olga: Operator) -> None:
    attacker = api(None)

    statuses = tries(attacker, olga.email, *["wrong"] * 5, PASSWORD)

    assert statuses == [401] * 5 + [429]


def test_nobody_else_is_locked_out_by_it(cast: Cast, api: type[Api], olga: Operator) -> None:
    with isolation.act_as(cast.tenant.pk):
        staff.set_password(cast.otto.pk, PASSWORD)
    office = api(None)
    tries(office, olga.email, *["wrong"] * 6)

    assert tries(office, cast.otto.email, PASSWORD) == [200], "a colleague at the same address"
    assert tries(api(None), olga.email, PASSWORD) == [200], "herself, from another address"


def test_who_is_at_their_usual_place_is_not_locked_out_from_everywhere_else(
    cast: Cast, api: type[Api], olga: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in_guard, "OF_ACCOUNT", 7)
    home = api(None)
    assert tries(home, olga.email, PASSWORD) == [200]

    everywhere = [status for _ in range(4) for status in tries(api(None), olga.email, "wrong", "wrong")]

    assert everywhere == [401] * 7 + [429]
    assert tries(home, olga.email, PASSWORD) == [200]
    assert tries(api(None), olga.email, PASSWORD) == [429], "a place that nobody knows"


def test_the_right_password_makes_the_wrong_ones_before_it_forgotten(cast: Cast, api: type[Api], olga: Operator) -> None:
    home = api(None)

    assert tries(home, olga.email, *["wrong"] * 4, PASSWORD, *["wrong"] * 4, PASSWORD) == [401] * 4 + [200] + [401] * 4 + [200]


def test_a_whole_office_may_sign_in_at_nine(cast: Cast, api: type[Api], olga: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_guard, "OF_ADDRESS", 5)
    office = api(None)

    assert tries(office, olga.email, *[PASSWORD] * 8) == [200] * 8


def test_many_accounts_from_one_address_end_too(cast: Cast, api: type[Api], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in_guard, "OF_ADDRESS", 10)
    attacker = api(None)

    statuses = [status for number in range(12) for status in tries(attacker, f"somebody{number}@example.com", "Summer2026")]

    assert statuses == [401] * 10 + [429] * 2


def test_a_hundred_tries_at_the_same_instant_are_five(committed: None) -> None:
    email = f"{time.time_ns()}@example.com"

    outcomes = together([lambda: guess(email, WrongCredentials())] * 100)

    assert sum(isinstance(outcome, WrongCredentials) for outcome in outcomes) == 5
    assert {type(outcome) for outcome in outcomes} == {WrongCredentials, RateLimited}


def guess(email: str, ends: Exception) -> None:
    """A try that ends so."""
    with sign_in_guard.one_try(email, "203.0.113.7"):
        raise ends


def test_a_try_in_which_nobody_looked_at_the_password_does_not_count() -> None:
    email = f"{time.time_ns()}@example.com"

    for _ in range(20):
        with pytest.raises(OperationalError):
            guess(email, OperationalError("the database is away"))


def test_without_valkey_nobody_signs_in_because_nobody_would_count(cast: Cast, api: type[Api], olga: Operator, valkey_away: None) -> None:
    answer = api(None).post("/auth/token", email=olga.email, password=PASSWORD)

    assert (answer.status, answer.body["code"]) == (503, "sign_in_closed")
    assert answer.headers["Retry-After"]


def test_the_console_counts_the_same_tries_and_says_so(cast: Cast, api: type[Api]) -> None:
    with isolation.act_as(cast.tenant.pk):
        staff.set_password(cast.mia.pk, PASSWORD)
    browser = api(None).client

    pages = [browser.post("/admin/login/", {"username": cast.mia.email, "password": "wrong"}) for _ in range(5)]
    locked = browser.post("/admin/login/", {"username": cast.mia.email, "password": PASSWORD})

    assert all("Email or password is wrong" in page.content.decode() for page in pages)
    assert "Too many requests" in locked.content.decode()
    assert "_auth_user_id" not in browser.session


def test_valkey_learns_no_email_address(cast: Cast, api: type[Api], olga: Operator) -> None:
    tries(api(None), olga.email, "wrong", PASSWORD)

    assert [key for key in redis.Redis.from_url(_url()).keys("*") if olga.email.encode() in key] == []
