"""How long a blow of the chaos was felt is told right: from the blow and from its undoing, to the last of the clients and to the tick."""

from tests.faults.evidence import Blow
from tests.faults.history import Call, Outcome
from tests.faults.recovery import Ends, ends_of, felt
from tests.faults.test_evidence import AIM

BLOW = Blow("crash_the_database", AIM._replace(at=10.0), AIM, AIM._replace(at=12.0))


def done(client: int, ended: float, outcome: Outcome = Outcome.OK) -> Call:
    """The end of an act of this client."""
    return Call(f"day-1-client-{client}-{ended}", "claim", ended - 0.5, ended, outcome)


def test_a_blow_is_over_when_the_last_client_has_had_an_act_done_and_when_a_tick_has_ended() -> None:
    history = [done(1, 11.0), done(1, 12.5), done(1, 13.5), done(2, 12.1, Outcome.FAIL), done(2, 12.2, Outcome.UNKNOWN), done(2, 14.0)]

    assert ends_of(BLOW, history, ticks=[11.9, 13.0, 15.0]) == Ends(answers=14.0, ticks=13.0)


def test_a_blow_is_not_over_before_that() -> None:
    assert ends_of(BLOW, [done(1, 13.0), done(2, 11.0)], ticks=[11.9]) == Ends(answers=None, ticks=None)
    assert ends_of(BLOW, [], ticks=[]) == Ends(answers=None, ticks=None)


def test_whoever_is_no_client_is_not_waited_for() -> None:
    customer = Call("customer-3", "create", 1.0, 2.0, Outcome.OK)

    assert ends_of(BLOW, [customer, done(1, 13.0)], ticks=[]).answers == 13.0


def test_blows_of_a_kind_are_told_by_median_and_maximum() -> None:
    blows = [BLOW, BLOW._replace(after=AIM._replace(at=11.0)), BLOW, BLOW._replace(kind="end_a_session")]

    (kind, pain), (other, _) = felt(blows, [13.0, 14.0, 19.0, 20.0])

    assert (kind, other) == ("crash_the_database", "end_a_session")
    assert pain.from_the_blow == (4.0, 9.0)
    assert pain.from_its_undoing == (3.0, 7.0)


def test_a_blow_of_which_nobody_knows_the_end_is_left_out() -> None:
    ((_, pain),) = felt([BLOW, BLOW], [None, 13.0])

    assert pain.from_the_blow == (3.0, 3.0)
    assert list(felt([BLOW], [None])) == []
