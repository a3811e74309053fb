"""What the house stands on: the database and who we are there, the broker, the worker, the beat. Each with what to do."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from celery import Celery
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader

from convalloc import clock
from conversations.doctor.findings import Finding, Verdict
from tenants import checks, isolation, ticks
from tenants.models import PLATFORM_TENANT_ID, Tenant

OLDEST_SERVER = 15
PATIENCE_SECONDS = 2  # for a worker's answer: longer than a turn of its loop, shorter than a person's
# From the longest on. Who idles in a transaction loses their rows before those who wait for them give up; and who waits for a lock
# hears of that before the whole statement has taken too long.
LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
QUOTES_NOTHING = {"log_min_error_statement": "panic", "log_error_verbosity": "terse"}  # nor the rows that statements fail at
OK, WARN, FAIL = Verdict.OK, Verdict.WARN, Verdict.FAIL


def examine(app: Celery) -> Iterator[Finding]:
    """A finding for each part, from the ground up. Without a database it ends with that."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user, current_database(), current_setting('server_version_num')::int / 10000")
            role, database, version = cursor.fetchone()
    except (DatabaseError, ImproperlyConfigured) as problem:
        reason = str(problem).strip().splitlines()[0]
        yield Finding("database", FAIL, reason, "Start PostgreSQL, and see DATABASE_URL. Everything waits for it, and nothing is lost.")
        return
    yield Finding("database", OK, f"PostgreSQL {version}, database {database}, as the role {role}")
    if version < OLDEST_SERVER:
        yield Finding("version", FAIL, f"PostgreSQL {version} is older than {OLDEST_SERVER}", f"Upgrade it to {OLDEST_SERVER} or newer.")
    unapplied = _unapplied()
    yield unapplied
    yield from (_role(role), _walls(), _guards(), _limits(role), _discretion(role))
    yield from (_broker(app), _worker(app))
    if unapplied.is_fine:
        yield from beat(app)


def _unapplied() -> Finding:
    loader = MigrationLoader(connection)
    missing = sorted(f"{app}.{name}" for app, name in loader.disk_migrations.keys() - loader.applied_migrations.keys())
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        return Finding("migrations", FAIL, f"{len(missing)} are not applied: {named}", "Run `manage.py migrate`, as the owner.")
    return Finding("migrations", OK, "all are applied")


def _role(role: str) -> Finding:
    faults = checks.the_runtime_role_cannot_climb(None)
    if faults:
        return Finding("role", FAIL, str(faults[0].msg), str(faults[0].hint))
    return Finding("role", OK, f"{role} owns nothing, and cannot bypass row level security")


def _walls() -> Finding:
    with connection.cursor() as cursor:
        faults = list(checks.missing_walls(cursor))
    if faults:
        advice = "One tenant may see another's rows. Compare with a database that is freshly migrated, and put the policy back."
        return Finding("walls", FAIL, " ".join(fault.msg for fault in faults), advice)
    return Finding("walls", OK, "every table of a tenant has its policy, ENABLEd and FORCEd")


def _guards() -> Finding:
    with connection.cursor() as cursor:
        missing = checks.missing_guards(cursor)
    if missing:
        named = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        advice = "Something that must never happen is not refused any more, or is slow. Compare with a database that is freshly migrated."
        return Finding("guards", FAIL, f"{len(missing)} constraints or indexes are missing or not valid: {named}", advice)
    return Finding("guards", OK, "every constraint and every index of the tables is there, and valid")


def _limits(role: str) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting::int FROM pg_settings WHERE name = ANY (%s)", [list(LIMITS)])
        milliseconds = dict(cursor.fetchall())
    if endless := [name for name in LIMITS if not milliseconds[name]]:
        advice = f"ALTER ROLE {role} SET … as convalloc/embedded/roles.sql does: else one stuck worker can hold everybody up for ever."
        return Finding("limits", WARN, f"the role {role} has no {', '.join(endless)}", advice)
    told = ", ".join(f"{name} {milliseconds[name] / 1000:g} s" for name in LIMITS)
    if turned := [f"{low} is not below {high}" for high, low in pairwise(LIMITS) if milliseconds[low] >= milliseconds[high]]:
        advice = f"ALTER ROLE {role} SET … as convalloc/embedded/roles.sql does, or so that they stay in this order."
        return Finding("limits", WARN, f"{' and '.join(turned)}: {told}", advice)
    patience = connection.settings_dict["ANSWER_SECONDS"]
    if patience * 1000 <= milliseconds["statement_timeout"]:
        advice = "Make it longer: else a session is given up whose statement the server would have ended by itself."
        return Finding("limits", WARN, f"DATABASE_ANSWER_SECONDS ({patience} s) is not above statement_timeout: {told}", advice)
    return Finding("limits", OK, told)


def _discretion(role: str) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY (%s)", [list(QUOTES_NOTHING)])
        now = dict(cursor.fetchall())
    if loose := [f"{name} = {value}" for name, value in QUOTES_NOTHING.items() if now[name] != value]:
        advice = f"ALTER ROLE {role} SET … as convalloc/embedded/roles.sql does, and see how long the server's log is kept."
        return Finding("discretion", WARN, f"PostgreSQL's log quotes customers' numbers: the role {role} lacks {', '.join(loose)}", advice)
    return Finding("discretion", OK, "PostgreSQL's log quotes neither statements nor rows")


def _broker(app: Celery) -> Finding:
    advice = (
        "Start Valkey, and see REDIS_URL. Nothing is lost and the API works on, but nobody rings the bell:"
        " `manage.py expire_grace_periods --loop` ends grace meanwhile."
    )
    if not settings.REDIS_URL:
        return Finding("broker", FAIL, "REDIS_URL names none", advice)
    try:
        _reach(app)
    except Exception as problem:  # each transport has its own kinds
        return Finding("broker", FAIL, f"it does not answer: {problem}", advice)
    return Finding("broker", OK, "it answers")


def _worker(app: Celery) -> Finding:
    try:
        _reach(app)
        answers = app.control.inspect(timeout=PATIENCE_SECONDS).active_queues() or {}
    except Exception:  # the broker's finding tells it
        return Finding("worker", WARN, "cannot be asked without a broker", "See the broker.")
    taken = {name: sorted(queue["name"] for queue in queues) for name, queues in sorted(answers.items())}
    busy = "One that is busy may be late to answer; the last ticks tell."
    if not taken:
        return Finding("worker", WARN, f"none answered within {PATIENCE_SECONDS} s", f"Start one: celery -A convalloc worker. {busy}")
    answered = f"{len(taken)} answer: " + ", ".join(f"{name} ({', '.join(queues)})" for name, queues in taken.items())
    if forgotten := sorted(set(app.amqp.queues) - {name for queues in taken.values() for name in queues}):
        advice = f"Start one without --queues, or name {' and '.join(forgotten)} there too. {busy}"
        return Finding("worker", WARN, f"nobody takes from the queue {' and '.join(forgotten)}; {answered}", advice)
    return Finding("worker", OK, answered)


def _reach(app: Celery) -> None:
    with app.connection_for_write(connect_timeout=PATIENCE_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=PATIENCE_SECONDS)


def beat(app: Celery) -> Iterator[Finding]:
    """A finding for each of the beat's tasks: when it last ended well, and what has become of it since."""
    now = clock.now()
    with isolation.act_as(PLATFORM_TENANT_ID):
        age = now - Tenant.objects.get(pk=PLATFORM_TENANT_ID).created_at
    for entry in app.conf.beat_schedule.values():
        # What rings more often may take a turn longer than from one ring to the next.
        period = max(entry["schedule"].run_every, timedelta(seconds=settings.TICK_SECONDS))
        yield _tick(ticks.last(entry["task"].rpartition(".")[2], now), period, age)


def _tick(tick: ticks.LastTick, period: timedelta, age: timedelta) -> Finding:
    """A tick that ended well within two periods is as it should be; one that is late by five will hardly come by itself.

    So is one that met its oldest deadline within two periods, and left nothing for the next one.
    """
    name, figures = f"tick {tick.task}", _figures(tick)
    if tick.ended is None and not tick.failure and timedelta() <= age < 2 * period:
        message = f"has not ended yet: the installation is {_spell(age)} old, and the first is due within {_spell(period)}"
        return Finding(name, OK, message, figures=figures)
    advice = "See the beat (celery -A convalloc beat), the worker and its log: the same work by hand is a command of manage.py."
    if tick.failure or tick.left:
        when = _spell(tick.failed if tick.failure else tick.ended)
        advice = f"Its traceback is in the worker's log, of {when} ago, with who is left for the next round. The next tick tries again."
    troubles = bool(tick.failure or tick.left) or max(tick.ended or period, tick.late) > 2 * period
    verdict = FAIL if tick.ended is None or tick.ended > 5 * period else WARN if troubles else OK
    return Finding(name, verdict, "; ".join(_told(tick, period)), advice, figures=figures)


def _figures(tick: ticks.LastTick) -> dict[str, Any]:
    """Whole seconds, of what has happened at all."""
    ages = {"began": tick.began, "ended": tick.ended, "failed": tick.failed, "worst_late": tick.worst_ago}
    since = {f"{what}_seconds_ago": _seconds(ago) for what, ago in ages.items() if ago is not None}
    lateness = {"late_seconds": _seconds(tick.late), "worst_late_seconds": _seconds(tick.worst)}
    return since | lateness | {"left": tick.left, "totals": dict(tick.totals)}


def _told(tick: ticks.LastTick, period: timedelta) -> Iterator[str]:
    if tick.began is None:
        yield "never happened"
        return
    if tick.failure:
        yield f"the last one failed {_spell(tick.failed)} ago ({tick.failure})"
    if tick.is_open and (tick.ended is None or tick.began > period):
        yield f"one began {_spell(tick.began)} ago and never ended: it is at work, or was killed"
    if tick.ended is None:
        yield "none has ended well"
        return
    late = f", and met its oldest deadline {_spell(tick.late)} late" if tick.late else ""
    yield f"the last good one ended {_spell(tick.ended)} ago{late}"
    if tick.left:
        yield f"it left {tick.left} for the next one"
    if tick.worst_ago is not None and tick.worst > tick.late:
        yield f"the worst was {_spell(tick.worst)} late, {_spell(tick.worst_ago)} ago"


def _seconds(age: timedelta) -> int:
    return max(0, round(age.total_seconds()))


def _spell(age: timedelta | None) -> str:
    assert age is not None
    seconds = _seconds(age)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
