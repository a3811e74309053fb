"""How often somebody may try a password. A try is counted before the password is looked at, and forgiven when it was right.

So a hundred tries at the same instant are as many as a hundred in a row. Three limits: of one account from one address; of one
address; and of one account from everywhere, which does not bind an address that its owner signed in from before. Whoever tries
somebody else's password from elsewhere therefore locks nobody out who is at their usual place.
Source: OWASP's Authentication cheat sheet; Slow Down Online Guessing Attacks with Device Cookies.
"""

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.conf import settings

from convalloc import limits, security
from convalloc.errors import DomainError, Kind
from convalloc.limits import Limit, RateLimited
from operators.errors import WrongCredentials

QUARTER, HOUR, MONTH = 15 * 60, 3600, 30 * 86_400  # seconds
OF_PAIR, OF_ADDRESS, OF_ACCOUNT = 5, 50, 50


class SignInClosed(DomainError):
    """Signing in is not possible for the moment: try again"""

    kind = Kind.UNAVAILABLE
    code = "sign_in_closed"


@contextmanager
def one_try(email: str, address: str) -> Iterator[None]:
    """A try of a password, which counts when the block raises WrongCredentials. Raises RateLimited, SignInClosed."""
    account = _disguised(email)
    pair = Limit("sign-in", f"sign-in:{account}:{address}", OF_PAIR, QUARTER)
    others = [Limit("address", f"sign-in:{address}", OF_ADDRESS, QUARTER)]
    everywhere = Limit("account", f"sign-in:{account}", OF_ACCOUNT, HOUR)
    usual_place = f"sign-in-known:{account}:{address}"
    try:
        if not limits.is_remembered(usual_place):
            others.append(everywhere)
        limits.take([pair, *others])
    except RateLimited:
        security.tell("authn_login_lock", account=account[:12])
        raise
    except limits.Away as problem:
        raise SignInClosed from problem
    try:
        yield
    except WrongCredentials:
        raise
    except Exception:  # the database is away, perhaps: nothing was tried
        with suppress(limits.Away):
            limits.give_back([pair, *others])
        raise
    with suppress(limits.Away):
        limits.forgive([pair])
        limits.give_back(others)
        limits.remember(usual_place, MONTH)


def _disguised(email: str) -> str:
    """An address as Valkey may know it."""
    spelled = email.strip().lower()
    return hmac.new(settings.SECRET_KEY.encode(), spelled.encode(), hashlib.sha256).hexdigest()[:32]
