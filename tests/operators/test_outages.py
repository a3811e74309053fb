"""Leases and our own outages: who could not be heard is not lost by that, and who is gone is not kept by it for long."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.models import F
from django.db.models.functions import Now

from conversations import silence, tasks
from conversations.doctor import examination, remedies
from conversations.doctor.findings import Finding
from conversations.silence import Counts
from operators import leases
from operators.models import OperatorStatus, PresencePeriod, Status
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Tenant, Tick
from tests.conftest import Cast, assemble
from tests.operators.test_leases import is_, silent_for, with_leases
from tests.races.crowd import neighbour

EVERY = settings.TICK_SECONDS
NAMES = ("olga", "otto", "mia", "ada")
TEN_MINUTES = timedelta(minutes=10)
NEVER = 10**9


class Story(NamedTuple):
    """What happens, in seconds. Each of the four gives three signs of life a lease, one after another, all through their shift."""

    lease: int
    ticks: list[int]  # when the beat's ring is answered
    deaf: list[tuple[int, int]] = []  # from when to when nobody can be heard
    leaves: dict[str, int] = {}  # who goes for good, and when
    lost: dict[str, int] = {}  # who is declared lost, and by which tick

    def heard(self, name: str, at: int) -> float:
        """When somebody was last heard, until then."""
        apart = self.lease / 3
        first = apart * NAMES.index(name) / len(NAMES)
        signs = [first + apart * number for number in range(int(at / apart) + 1)]
        until = min(at, self.leaves.get(name, NEVER))
        return max([0.0, *(sign for sign in signs if sign <= until and not any(began < sign < ended for began, ended in self.deaf))])


def punctual(first: int, last: int) -> list[int]:
    """Ticks as they should be, from one until another."""
    return list(range(first, last + 1, EVERY))


OUTAGE = [*punctual(60, 300), *punctual(900, 1500)]
TWO_OUTAGES = [*punctual(60, 300), 900, 960, *punctual(1560, 2100)]
SLOW = list(range(180, 1801, 180))
ALL = dict.fromkeys(NAMES, 302)

STORIES = {
    "without an outage whoever goes is lost by the next tick": Story(
        120, punctual(60, 900), leaves={"mia": 300, "ada": 600}, lost={"mia": 420, "ada": 720}
    ),
    "in an outage of ten minutes nobody is lost": Story(120, OUTAGE, [(301, 895)]),
    "nor with the shortest lease": Story(30, OUTAGE, [(301, 895)]),
    "nor with a lease that lasts longer than the outage": Story(600, [*punctual(60, 300), *punctual(660, 1500)], [(301, 655)]),
    "those who are heard before the first tick take nothing from the others": Story(120, OUTAGE, [(301, 879)]),
    "where all are heard again before the first tick, nothing is different": Story(120, OUTAGE, [(301, 500)]),
    "whoever left before the outage is lost a lease after it": Story(120, OUTAGE, [(301, 895)], {"mia": 290}, {"mia": 1020}),
    "whoever left during the outage as well": Story(120, OUTAGE, [(301, 895)], {"mia": 600}, {"mia": 1020}),
    "an outage between two rings that loses one of them is seen": Story(90, [*punctual(60, 300), *punctual(400, 1000)], [(301, 380)]),
    "an outage that no ring falls into loses nobody whose lease is two ticks": Story(2 * EVERY, punctual(60, 900), [(301, 359)]),
    "one that is shorter still may take some": Story(EVERY, punctual(60, 900), [(301, 346)], lost={"otto": 360}),
    "a doubled beat after the outage changes nothing": Story(120, [*punctual(60, 300), 900, 900, 901, *punctual(960, 1500)], [(301, 895)]),
    "whoever is heard between two outages is spared by both": Story(120, TWO_OUTAGES, [(301, 895), (962, 1555)]),
    "whoever is not heard between two outages is spared by one": Story(
        120, TWO_OUTAGES, [(301, 895), (962, 1555)], {"mia": 290}, {"mia": 1560}
    ),
    "ticks that are slow for ever find who is gone the second time": Story(60, SLOW, leaves={"mia": 200}, lost={"mia": 540}),
    "also where two of them are not as long as a lease": Story(600, SLOW, leaves={"mia": 500}, lost={"mia": 1800}),
    "ticks that are slow for ever lose nobody else": Story(30, SLOW),
    "an outage of the API alone that lasts for a lease is not seen": Story(
        120, punctual(60, 900), [(301, 895)], lost=dict.fromkeys(NAMES, 420)
    ),
    "an office that closes is lost as one person would be": Story(120, punctual(60, 900), leaves=ALL, lost=dict.fromkeys(NAMES, 420)),
}


def passes(cast: Cast, seconds: int) -> None:
    """So much time passes for the tenant's leases and the beat's log: what is written down is that much older."""
    passed = timedelta(seconds=seconds)
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tick.objects.update(began_at=F("began_at") - passed, ended_at=F("ended_at") - passed)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(leases_from=F("leases_from") - passed)
        OperatorStatus.objects.update(last_status_change_at=F("last_status_change_at") - passed)
        PresencePeriod.objects.update(started_at=F("started_at") - passed, ended_at=F("ended_at") - passed)


def happens(cast: Cast, story: Story) -> dict[str, int]:
    """Let a story happen; who was declared lost, and by which tick."""
    with_leases(cast, story.lease)
    lost: dict[str, int] = {}
    before = 0
    for at in story.ticks:
        passes(cast, at - before)
        with isolation.act_as(cast.tenant.pk):
            for name in NAMES:
                ago = timedelta(seconds=at - story.heard(name, at))
                OperatorStatus.objects.filter(operator_id=getattr(cast, name).pk).update(seen_at=Now() - ago)
        tasks.declare_lost()
        gone = {name for name in NAMES if is_(cast, getattr(cast, name)) == Status.OFFLINE}
        lost |= dict.fromkeys(gone - lost.keys(), at)
        before = at
    return lost


@pytest.mark.parametrize("told", STORIES)
def test_who_is_lost_and_when(cast: Cast, told: str) -> None:
    assert happens(cast, STORIES[told]) == STORIES[told].lost


@pytest.mark.parametrize("period", [60, 170, 700])
@pytest.mark.parametrize("lease", [30, 120, 900])
def test_however_slow_the_ticks_are_who_goes_is_lost_within_two_leases_and_two_ticks(cast: Cast, lease: int, period: int) -> None:
    left = 1000
    bound = left + 2 * lease + 2 * period

    lost = happens(cast, Story(lease, list(range(period, bound + 1, period)), leaves={"mia": left}))

    assert lost.keys() == {"mia"}


PROTECTED = [
    "in an outage of ten minutes nobody is lost",
    "those who are heard before the first tick take nothing from the others",
    "an outage between two rings that loses one of them is seen",
    "whoever is heard between two outages is spared by both",
]


@pytest.mark.parametrize("told", PROTECTED)
def test_control_without_protection_our_outages_take_people(cast: Cast, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "was_away", lambda: False)

    assert happens(cast, STORIES[told]) != {}


def test_control_where_silence_is_spared_again_and_again_slow_ticks_keep_who_is_gone(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "SILENT", leases.SILENT.replace(leases.JUDGED, "NOT %(deaf)s"))

    assert happens(cast, STORIES["ticks that are slow for ever find who is gone the second time"]) == {}


def test_control_where_leases_begin_anew_at_each_gap_the_long_ones_never_end(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    always = re.sub(r"AND t.leases_from .*", "AND t.lease_seconds IS NOT NULL", leases.BEGIN_ANEW)
    monkeypatch.setattr(leases, "BEGIN_ANEW", always)

    assert happens(cast, STORIES["also where two of them are not as long as a lease"]) == {}


def after_an_outage(cast: Cast) -> None:
    """All were last heard ten minutes ago, and so was the beat; their lease is a minute."""
    with_leases(cast, 60)
    for name in NAMES:
        silent_for(cast, getattr(cast, name), 600)
    the_last_tick_was(TEN_MINUTES)


def the_last_tick_was(ago: timedelta) -> None:
    """So long ago the beat's last ring was answered."""
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tick.objects.update_or_create(task=silence.TASK, defaults={"began_at": Now() - ago, "ended_at": Now() - ago})


def the_tick_is_older_by(seconds: int) -> None:
    """It began and ended so much earlier."""
    by = timedelta(seconds=seconds)
    with isolation.act_as(PLATFORM_TENANT_ID):
        Tick.objects.update(began_at=F("began_at") - by, ended_at=F("ended_at") - by)


def statuses(cast: Cast) -> set[str]:
    return {is_(cast, getattr(cast, name)) for name in NAMES}


def unheard(cast: Cast) -> list[Finding]:
    """What the doctor has to say about leases."""
    return [finding for finding in examination.examine([cast.tenant.pk], quick=True) if finding.name == "unheard"]


def by_hand(cast: Cast) -> None:
    call_command("declare_lost")


def by_the_doctor(cast: Cast) -> None:
    remedies.lose(cast.tenant, 0)


@pytest.mark.parametrize("act", [by_hand, by_the_doctor])
def test_whoever_mends_by_hand_after_an_outage_loses_nobody_either(cast: Cast, act: Callable[[Cast], None]) -> None:
    after_an_outage(cast)

    act(cast)

    assert statuses(cast) == {"AVAILABLE"}
    assert tasks.declare_lost().get("lost", 0) == 0
    assert statuses(cast) == {"AVAILABLE"}


def test_declaring_lost_by_hand_is_a_tick_so_that_cron_is_as_good_as_the_beat(cast: Cast) -> None:
    after_an_outage(cast)
    assert silence.was_away()

    by_hand(cast)

    assert not silence.was_away()


def test_whom_the_next_tick_will_spare_the_doctor_does_not_name(cast: Cast) -> None:
    after_an_outage(cast)
    (asked,) = unheard(cast)
    assert asked.is_fine

    the_last_tick_was(timedelta())
    silent_for(cast, cast.ada, 0)
    silent_for(cast, cast.mia, 0)
    (asked,) = unheard(cast)
    assert asked.tenants == {cast.tenant.pk: (2, sorted([cast.olga.pk, cast.otto.pk]))}


def test_whom_the_next_tick_will_not_spare_the_doctor_names_in_an_outage_too(cast: Cast) -> None:
    after_an_outage(cast)
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(leases_from=Now() - timedelta(minutes=9))

    (asked,) = unheard(cast)

    assert asked.count == 4


def test_a_turn_that_is_over_leaves_no_tenant_without_its_new_leases(cast: Cast, neighbours: Cast) -> None:
    for tenant in (cast, neighbours):
        after_an_outage(tenant)
        for person in (tenant.mia, tenant.ada):
            silent_for(tenant, person, 0)

    silence.declare_lost(until=0)
    the_last_tick_was(timedelta())

    assert silence.declare_lost() == Counts()


def test_where_leases_were_not_heard_of_since_they_were_set_nobody_is_spared(cast: Cast) -> None:
    after_an_outage(cast)
    the_last_tick_was(timedelta(seconds=EVERY))
    with isolation.act_as(cast.tenant.pk):
        Tenant.objects.update(leases_from=Now() - timedelta(seconds=61))

    assert silence.declare_lost().lost == 4


def test_a_clock_that_was_set_forward_takes_nobody(cast: Cast) -> None:
    with_leases(cast, 60)
    the_last_tick_was(timedelta(seconds=EVERY))

    passes(cast, 3600)

    assert tasks.declare_lost()["lost"] == 0


def test_an_outage_without_leases_is_none_of_their_business(cast: Cast) -> None:
    the_last_tick_was(TEN_MINUTES)

    assert silence.declare_lost() == Counts()

    with isolation.act_as(cast.tenant.pk):
        assert Tenant.objects.get().leases_from is None


def impatient() -> None:
    """This session waits for no lock longer than a moment."""
    with connection.cursor() as cursor:
        cursor.execute("SET lock_timeout = '100ms'")


def test_one_whose_row_somebody_keeps_for_ever_does_not_make_an_outage_for_all_others(committed: None) -> None:
    cast = assemble()
    with_leases(cast, 60)
    silent_for(cast, cast.olga, 61)
    the_last_tick_was(timedelta(seconds=EVERY))

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM operator_status WHERE operator_id = %s FOR UPDATE", [cast.olga.pk])
        impatient()
        counts = tasks.declare_lost()
        assert (counts["lost"], counts["left"]) == (0, 1)
        assert 1 <= counts["late_seconds"] <= 5
        the_tick_is_older_by(EVERY)
        silent_for(cast, cast.mia, 61)
        counts = tasks.declare_lost()

    assert (counts["lost"], counts["left"]) == (1, 1)
    assert is_(cast, cast.mia) == Status.OFFLINE


def test_three_who_are_stuck_do_not_keep_the_others(committed: None) -> None:
    cast = assemble()
    with_leases(cast, 60)
    for name in NAMES:
        silent_for(cast, getattr(cast, name), 61)

    with neighbour(cast.tenant.pk) as session:
        stuck = [cast.olga.pk, cast.otto.pk, cast.mia.pk]
        session.execute("SELECT FROM operator_status WHERE operator_id = ANY (%s) FOR UPDATE", [stuck])
        impatient()
        counts = silence.declare_lost()

    assert (counts.lost, counts.left) == (1, 3)
    assert is_(cast, cast.ada) == Status.OFFLINE


def test_a_tick_whose_tenant_could_not_begin_anew_is_no_end_so_that_the_next_one_spares_them(committed: None) -> None:
    cast = assemble()
    after_an_outage(cast)

    with neighbour(cast.tenant.pk) as session:
        session.execute("SELECT FROM tenants FOR UPDATE")
        impatient()
        with pytest.raises(silence.NotYet):
            tasks.declare_lost()

    the_tick_is_older_by(EVERY)
    assert tasks.declare_lost()["lost"] == 0
    assert statuses(cast) == {"AVAILABLE"}
