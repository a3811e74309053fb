"""What happens to a tenant, in any order: what people do, what arrives, what managers decide, and time.

First choices are the usual ones: to them Hypothesis shrinks. All are small, so that nothing but the seed decides.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from conversations import expiry, recalculation
from operators import desk
from tenants import inboxes, isolation
from tests.conversations import invariants
from tests.model.reference import Conversation, Person
from tests.model.side_by_side import SideBySide

MOST = 16  # conversations of one life
MICROSECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(days=1)

WHO = st.sampled_from([*[None] * 7, *["olga", "otto"] * 3, "mia"])  # None: the same as a moment ago
BY = st.sampled_from([*[None] * 7, "mia", "otto", "olga"])  # None: whoever usually does this
HOLDER = st.sampled_from([None, None, None, "olga", "otto"])
NUMBER = st.sampled_from(range(MOST + 4))  # below MOST: of a conversation that the step fits; from there: of any
INBOX = st.sampled_from(["support", "sales"])
LIMIT = st.sampled_from([None, None, None, None, 3, 2, 1, 0])
Job = tuple[int | None, dict[str, int | None]]  # how much one may hold, and at which inboxes how much
PLACES = st.sampled_from([("support", "sales")] * 3 + [("support",), ("sales",), ()])
JOB = st.tuples(LIMIT, PLACES.flatmap(lambda names: st.fixed_dictionaries(dict.fromkeys(names, LIMIT))))
FORCE: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {}, {}, {"force": True, "reason": "lunch"}, {"force": True}])

# Exact ties (a message is worth 9.6 minutes at first), the neighbourhood of the delay caps to the microsecond, the future.
AGO = st.sampled_from(
    [10 * MINUTE, 10 * MINUTE, 19.6 * MINUTE, 0 * DAY, MICROSECOND, 60 * MINUTE, DAY - MICROSECOND, DAY, 3 * DAY, -5 * MINUTE]
)
ARRIVAL = st.fixed_dictionaries(
    {"inbox": INBOX, "messages": st.sampled_from([1, 1, 2, 3, 100, 500, 0]), "ago": AGO, "unanswered": st.none() | AGO}
)
DURATION = st.sampled_from([MINUTE, 5 * MINUTE, 15 * MINUTE, DAY])
OFF = st.sampled_from([0 * DAY, -MICROSECOND, MICROSECOND])
WISHES: list[list[dict[str, Any]]] = [
    [{"waiting_clock": name} for name in ("last_message_at", "waiting_since", "waiting_since")],
    [{"priority_alpha": alpha, "priority_beta": beta} for alpha, beta in ((0.4, 0.6), (0, 1), (1, 0), (100, 0.0001))],
    [{"message_cap": cap} for cap in (100, 3, 1)] + [{"delay_cap_minutes": cap} for cap in (1440, 60, 1)],
    [{"operator_capacity": limit} for limit in (None, 1, 3)],
    [{"cooldown_minutes": minutes} for minutes in (5, 60, 0)] + [{"grace_period_minutes": minutes} for minutes in (15, 1)],
]
WISH = st.one_of(*map(st.sampled_from, WISHES))
STEPS: list[str] = []
CHOICES: dict[str, dict[str, st.SearchStrategy[Any]]] = {}
Step = TypeVar("Step", bound=Callable[..., None])


def step(weight: int, **choices: st.SearchStrategy[Any]) -> Callable[[Step], Step]:
    """A step of a life, and what it can be about; taken so often among all. Rules of Hypothesis weigh the same, and some are left out."""

    def register(method: Step) -> Step:
        STEPS.extend([method.__name__] * weight)
        CHOICES[method.__name__] = choices
        return method

    return register


class Machine(SideBySide):
    """One tenant's life."""

    @initialize(arrivals=st.lists(st.tuples(ARRIVAL, HOLDER), min_size=6, max_size=10), olgas=JOB, ottos=JOB, wish=WISH)
    def begin(self, arrivals: list[tuple[dict[str, Any], str | None]], olgas: Job, ottos: Job, wish: dict[str, Any]) -> None:
        """In the middle of a day: something waits, something is held, and some may hold no more."""
        self.latest = self.people["olga"]
        for number, (arrival, holder) in enumerate(arrivals):
            self.arrive(arrival)
            if holder:
                self.hand("claim", None, holder, number, {})
        self.employ(None, "otto", ottos)
        self.employ(None, "olga", olgas)
        self.tune(wish)

    # --- what people do ----------------------------------------------------------------------------

    @step(8, by=BY, to=WHO, count=st.sampled_from([None, None, 3, 2, 1]))
    def allocate(self, by: str | None, to: str | None, count: int | None) -> None:
        target = self.somebody(to)
        caller = self.people[by] if by else target
        body = {"operator_id": target.pk} | ({"count": count} if count else {})
        told, given = self.agree(
            caller, "POST", "/conversations/allocate", body, lambda: self.reference.allocate(caller, target, count or 1)
        )
        if given is None:
            return
        rows = told if count else [told] if told else []
        assert [row["id"] for row in rows] == [c.pk for c in given]
        for row, c in zip(rows, given, strict=True):
            self.same(row, c)

    @step(6, act=st.sampled_from(["claim", "manager-allocate", "reassign"]), by=BY, to=WHO, number=NUMBER, force=FORCE)
    def hand(self, act: str, by: str | None, to: str | None, number: int, force: dict[str, Any]) -> None:
        target = self.somebody(to)
        caller = self.people[by or "mia"] if by or act != "claim" else target
        c = self.which(number, "ALLOCATED" if act == "reassign" else "QUEUED")
        facts = {} if act == "claim" else force
        self.act(caller, act, c, {"operator_id": target.pk} | facts, lambda: self.reference.hand(act, caller, target, c, **facts))

    @step(6, act=st.sampled_from(["release", "deallocate", "resolve"]), by=BY, number=NUMBER)
    def end(self, act: str, by: str | None, number: int) -> None:
        c = self.which(number, "ALLOCATED")
        self.latest = c.holder or self.latest
        caller = self.people[by or "mia"] if by or act == "deallocate" else self.latest
        self.act(caller, act, c, {"reason": "not mine"} if act == "release" else {}, lambda: self.reference.end(act, caller, c))

    @step(2, by=BY, number=NUMBER, inbox=INBOX)
    def move(self, by: str | None, number: int, inbox: str) -> None:
        c, caller, to = self.which(number, "QUEUED", "ALLOCATED"), self.people[by or "mia"], self.inboxes[inbox]
        self.act(caller, "move-inbox", c, {"inbox_id": to}, lambda: self.reference.move(caller, c, to))

    @step(2, by=BY, number=NUMBER, word=st.sampled_from(range(3)), worn=st.sampled_from([True, True, False]))
    def wear(self, by: str | None, number: int, word: int, worn: bool) -> None:
        c, caller, label = self.which(number, "QUEUED", "ALLOCATED"), self.people[by or "mia"], self.labels[word]
        body, path = {"conversation_id": c.pk, "label_id": label.pk}, f"/labels/{'attach' if worn else 'detach'}"
        self.agree(caller, "POST", path, body, lambda: self.reference.wear(caller, c, label, worn))

    @step(4, by=BY, who=WHO, status=st.sampled_from(["OFFLINE", "AVAILABLE", "AVAILABLE", "AWAY", "OFFLINE now"]))
    def turn(self, by: str | None, who: str | None, status: str) -> None:
        person, (status, *now) = self.somebody(who), status.split()
        caller = self.people[by] if by else person
        body = {"status": status} | ({"release": "now"} if now else {})
        path = f"/operators/{person.pk}/status"
        self.agree(caller, "PUT", path, body, lambda: self.reference.turn(caller, person, status, release_now=bool(now)))

    def act(self, by: Person, path: str, c: Conversation, body: dict[str, Any], act: Any) -> None:
        """Something about one conversation, which is answered with it."""
        told, done = self.agree(by, "POST", f"/conversations/{path}", {"conversation_id": c.pk} | body, act)
        if done:
            self.same(told, c)

    def somebody(self, name: str | None) -> Person:
        """A person by name, or whoever was at it last: what goes wrong, does so between steps about the same."""
        self.latest = self.people[name] if name else self.latest
        return self.latest

    def which(self, number: int, *states: str) -> Conversation:
        """One of the conversations: by a low number one in these states, if there is one."""
        every = self.reference.conversations
        fitting = [c for c in every if c.state in states] if number < MOST else []
        return (fitting or every)[number % len(fitting or every)]

    # --- what goes wrong, does so between neighbouring steps -----------------------------------------

    @step(4, number=NUMBER, duration=st.none() | DURATION, off=OFF, beat=st.sampled_from([True, True, False]))
    def be_away(self, number: int, duration: timedelta | None, off: timedelta, beat: bool) -> None:
        """Who holds something goes, and comes back: before their grace ends, or after."""
        self.latest = self.which(number, "ALLOCATED").holder or self.latest
        self.turn(None, None, "OFFLINE")
        self.everything_is_the_same()
        self.wait(duration, number, off, beat)
        self.everything_is_the_same()
        self.turn(None, None, "AVAILABLE")

    @step(4, number=NUMBER, count=st.sampled_from([None, 2]))
    def want_another(self, number: int, count: int | None) -> None:
        """Who gives something back asks for something else."""
        self.end("release", None, number)
        self.everything_is_the_same()
        self.allocate(None, None, count)

    # --- what arrives, and time --------------------------------------------------------------------

    @step(5, arrival=ARRIVAL)
    def arrive(self, arrival: dict[str, Any]) -> None:
        if len(self.reference.conversations) == MOST:
            return
        facts = {"message_count": arrival["messages"], "last_message_at": self.now - arrival["ago"]}
        facts["waiting_since"] = None if arrival["unanswered"] is None else self.now - arrival["unanswered"]
        row = self.cast.conversation(inbox=getattr(self.cast, arrival["inbox"]), **facts)
        self.reference.conversations.append(Conversation(pk=row.pk, inbox=row.inbox_id, **facts))

    @step(5, duration=st.none() | DURATION, number=NUMBER, off=OFF, beat=st.sampled_from([True, True, False]))
    def wait(self, duration: timedelta | None, number: int, off: timedelta, beat: bool) -> None:
        """For a while, or until the end of a grace period, of a cool-down: give or take a microsecond."""
        edges = self.edges(number)
        if duration is None and not edges:
            return
        then = self.now + duration if duration else edges[number % len(edges)] + off
        self.reference.now = max(self.now, then)
        self.ground.clock.stand_at(self.now)
        if beat:
            counts = expiry.expire_due()
            assert (counts.released, counts.closed) == (len(self.reference.expire()), 0)
            recalculation.tick()
            invariants.assert_all(self.cast)  # not sooner: without a beat, the doctor finds what is overdue

    def edges(self, number: int) -> list[datetime]:
        """What is about to end: grace and cool-downs; otherwise, what was the future begins, or reaches the delay cap."""
        rows, cooldown, delay_cap = self.reference.conversations, *map(self.reference.minutes, ("cooldown_minutes", "delay_cap_minutes"))
        near = [c.grace_ends for c in rows if c.grace_ends]
        near += [at + cooldown for who in self.people.values() for at in who.released.values()]
        far = [self.reference.waits_from(c) + wait for c in rows for wait in (timedelta(), delay_cap)]
        near, far = ([edge for edge in sorted(edges) if edge > self.now] for edges in (near, far))
        return near if near and number < MOST else far

    # --- what managers decide ----------------------------------------------------------------------

    @step(2, by=BY, who=WHO, job=JOB)
    def employ(self, by: str | None, who: str | None, job: Job) -> None:
        """Where somebody answers, and how much they may hold. Who leaves an inbox and comes back has no limit there."""
        person, caller, own = self.somebody(who), self.people[by or "mia"], job[0]
        seats = {self.inboxes[name]: most for name, most in job[1].items()}
        with isolation.act_as(self.cast.tenant.pk):
            desk.answer_at(person.pk, seats)
        person.seats = {inbox: person.seats.get(inbox) for inbox in seats}
        body = {"own_limit": own, "inboxes": [{"inbox_id": inbox, "limit": most} for inbox, most in seats.items()]}
        self.agree(caller, "PATCH", f"/operators/{person.pk}/capacity", body, lambda: self.reference.limit(caller, person, own, seats))

    @step(2, wish=WISH)
    def tune(self, wish: dict[str, Any]) -> None:
        """The tenant's settings; the queue is ranked anew."""
        ada, settings = self.people["ada"], self.reference.settings
        settings |= wish
        told = self.ask(ada, "PATCH", "/tenant", wish).data
        assert {name: told[name] for name in settings} == settings
        ranked = self.ask(ada, "POST", "/conversations/update-priorities").data["updated_count"]
        assert ranked == len([c for c in self.reference.conversations if c.state != "RESOLVED"])

    @step(2, inbox=INBOX, minutes=st.sampled_from([1, 60, None]))
    def grant(self, inbox: str, minutes: int | None) -> None:
        """How long grace is at an inbox; None: as the tenant says."""
        with isolation.act_as(self.cast.tenant.pk):
            inboxes.change(self.inboxes[inbox], grace_period_minutes=minutes)
        self.reference.graces[self.inboxes[inbox]] = minutes

    @rule(taken=st.sampled_from(STEPS).flatmap(lambda name: st.tuples(st.just(name), st.fixed_dictionaries(CHOICES[name]))))
    def live(self, taken: tuple[str, dict[str, Any]]) -> None:
        """One step."""
        name, choices = taken
        getattr(self, name)(**choices)
