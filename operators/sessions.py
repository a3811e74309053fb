"""Sessions: a client signs in once, and goes on with refresh tokens, each of which serves once.

A token that is offered again was stolen, or its thief was faster: nobody can tell, so the session ends for both.
Source: RFC 9700 (OAuth 2.0 Security Best Current Practice), refresh token rotation.
"""

from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db.models import OuterRef, Subquery

from convalloc import clock, security
from convalloc.errors import Missing
from operators import accounts, bearers, presence, second_factor, sign_in_guard, tokens
from operators.errors import SessionEnded, WrongCredentials
from operators.models import RefreshToken, Session
from tenants import eventlog, isolation

PREFIX = "cvr"
MOST_SHOWN = 100
EndReason = Session.EndReason


class Granted(NamedTuple):
    """What a client is given: both secrets, and the session that they belong to."""

    session: Session
    access_token: str
    refresh_token: str
    refresh_seconds: int  # that the refresh token is good for


def begin(email: str, password: str, address: str, totp: str = "") -> Granted:
    """Sign in by password, from a client's address. Raises WrongCredentials, RateLimited, SignInClosed.

    The first is the same for an unknown account, a wrong password and a closed account. Who knows the password of an account with
    a second factor hears TotpRequired or WrongTotp besides. Outside a transaction: to hash takes long.
    """
    with sign_in_guard.one_try(email, address):
        operator = accounts.prove(email, password)
        if operator is None:
            raise WrongCredentials
        if not operator.is_active or operator.is_superuser:
            security.tell("authn_login_fail", operator_id=operator.pk)
            raise WrongCredentials
        with isolation.act_as(operator.tenant_id), eventlog.acting(operator.pk):
            second_factor.ask(operator, totp)
    security.tell("authn_login_success", operator_id=operator.pk, tenant_id=operator.tenant_id)
    with isolation.act_as(operator.tenant_id), eventlog.acting(operator.pk):
        as_it_is = presence.lock(operator.pk).operator
        if as_it_is.password != operator.password or not as_it_is.is_active:
            raise WrongCredentials  # changed, or closed, while the password was looked at
        session = Session.objects.create(operator=operator, expires_at=clock.now() + timedelta(days=settings.SESSION_DAYS))
        eventlog.append("session.began", session, after={"operator_id": operator.pk})
        return _grant(session)


def go_on(refresh_token: str) -> Granted:
    """New tokens for one that was not used yet. Raises SessionEnded for every other.

    Its own transaction: the end of a session whose token was offered twice stands, though the caller is refused.
    """
    offered = bearers.read(PREFIX, refresh_token)
    if offered is not None:
        with isolation.act_as(offered.tenant_id):
            granted = _exchange(offered)
        if granted is not None:
            return granted
    raise SessionEnded


def end(refresh_token: str) -> None:
    """Sign out by the token that would go on. What is no token, or of a session that has ended, changes nothing (RFC 7009)."""
    offered = bearers.read(PREFIX, refresh_token)
    if offered is None:
        return
    with isolation.act_as(offered.tenant_id):
        token = _lock(offered)
        if token is not None:
            with eventlog.acting(token.session.operator_id):
                _end([token.session], EndReason.SIGNED_OUT)


def running(operator_id: int) -> list[dict[str, Any]]:
    """The sessions that an operator may go on with, as clients know them: the newest, and at most MOST_SHOWN."""
    token = RefreshToken.objects.filter(session_id=OuterRef("pk"), used_at=None)
    now = Session.objects.filter(operator_id=operator_id, ended_at=None, expires_at__gt=clock.now())
    rows = now.annotate(last_used_at=Subquery(token.values("issued_at"))).order_by("-pk")[:MOST_SHOWN]
    return [dict(row) for row in rows.values("id", "began_at", "last_used_at", "expires_at")]


def end_one(operator_id: int, session_id: int) -> None:
    """End one session of an operator. Repeating it changes nothing. Raises Missing, also for somebody else's."""
    session = Session.objects.select_for_update(no_key=True).filter(operator_id=operator_id, pk=session_id).first()
    if session is None:
        raise Missing(what="Session", sought=[session_id])
    _end([session], EndReason.SIGNED_OUT)


def end_all(operator_id: int, reason: Session.EndReason) -> int:
    """End every session of an operator; how many. Their access tokens are refused from now on, too."""
    return _end(list(Session.objects.select_for_update(no_key=True).filter(operator_id=operator_id, ended_at=None).order_by("pk")), reason)


def sweep(limit: int) -> int:
    """Forget up to `limit` sessions of the bound tenant that nobody can go on with; how many. The log of events keeps that they were.

    Without its key being kept, because the rows go; what somebody is just ending waits for the next sweep.
    """
    over = Session.objects.select_for_update(skip_locked=True).filter(expires_at__lte=clock.now()).order_by("expires_at")[:limit]
    _, deleted = Session.objects.filter(pk__in=[session.pk for session in over]).delete()
    return deleted.get(Session._meta.label, 0)


def _exchange(offered: bearers.Bearer) -> Granted | None:
    """The next tokens; None, and perhaps the session's end, where this one does not serve."""
    token = _lock(offered)
    if token is None:
        return None
    session, now = token.session, clock.now()
    if token.used_at is not None:
        security.tell("refresh_token_reused", operator_id=session.operator_id, session_id=session.pk)
        with eventlog.acting(session.operator_id):
            _end([session], EndReason.REUSED)
        return None
    if session.ended_at is not None or min(token.expires_at, session.expires_at) <= now:
        return None
    token.used_at = now
    token.save(update_fields=["used_at"])
    return _grant(session)


def _lock(offered: bearers.Bearer) -> RefreshToken | None:
    """The token under its session's lock; None where none is meant."""
    found = RefreshToken.objects.filter(pk=offered.row_id).first()
    if found is None or not bearers.fits(offered, found.digest):
        return None
    session = Session.objects.select_for_update(no_key=True, of=("self",)).select_related("operator").get(pk=found.session_id)
    token: RefreshToken = RefreshToken.objects.get(pk=found.pk)
    token.session = session
    return token


def _grant(session: Session) -> Granted:
    secret, digest = bearers.fresh()
    now = clock.now()
    until = min(now + timedelta(days=settings.REFRESH_TOKEN_DAYS), session.expires_at)
    token = RefreshToken.objects.create(session=session, digest=digest, expires_at=until)
    refresh_token = bearers.spell(PREFIX, session.tenant_id, token.pk, secret)
    return Granted(session, tokens.issue(session), refresh_token, int((until - now).total_seconds()))


def _end(running: list[Session], reason: Session.EndReason) -> int:
    running = [session for session in running if session.ended_at is None]
    for session in running:
        session.ended_at, session.end_reason = clock.now(), reason
        session.save(update_fields=["ended_at", "end_reason"])
        eventlog.append("session.ended", session, after={"operator_id": session.operator_id}, cause=reason)
    return len(running)
