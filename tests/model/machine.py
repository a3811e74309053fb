"""What happens to a tenant, in any order: what people do, what arrives, what managers decide, and time.

First choices are the usual ones: to them Hypothesis shrinks. All are small, so that nothing but the seed decides.
"""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from conversations import expiry, recalculation
from operators import desk
from tenants import inboxes, isolation
from tests.model.reference import Conversation, Person
from tests.model.side_by_side import SideBySide

MOST = 14  # conversations of one life
MICROSECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(days=1)

TO = st.sampled_from(["olga", "otto", "olga", "otto", "mia"])
BY = st.sampled_from([None, None, None, None, None, "mia", "otto", "olga"])  # None: whoever usually does this
NUMBER = st.sampled_from(range(MOST + 4))  # below MOST: of a conversation that the step fits; from there: of any
INBOX = st.sampled_from(["support", "sales"])
LIMIT = st.sampled_from([None, 2, 1, None, 3, 0])
LIMITS = st.fixed_dictionaries({}, optional={"support": LIMIT, "sales": LIMIT})
FORCE: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {}, {}, {"force": True, "reason": "lunch"}, {"force": True}])

# Exact ties (a message is worth 9.6 minutes at first), the neighbourhood of the delay caps to the microsecond, the future.
AGO = st.sampled_from(
    [10 * MINUTE, 10 * MINUTE, 19.6 * MINUTE, 0 * DAY, MICROSECOND, 60 * MINUTE, DAY - MICROSECOND, DAY, 3 * DAY, -5 * MINUTE]
)
ARRIVAL = st.fixed_dictionaries(
    {"inbox": INBOX, "messages": st.sampled_from([1, 1, 2, 3, 100, 500, 0]), "ago": AGO, "unanswered": st.none() | AGO}
)
WISHES: list[dict[str, Any]] = [
    *({"operator_capacity": limit} for limit in (None, 1, 3)),
    *({"cooldown_minutes": minutes} for minutes in (5, 60, 0)),
    *({"grace_period_minutes": minutes} for minutes in (15, 1)),
    *({"priority_alpha": alpha, "priority_beta": beta} for alpha, beta in ((0.4, 0.6), (0, 1), (1, 0), (100, 0.0001))),
    *({"message_cap": cap} for cap in (100, 3, 1)),
    *({"delay_cap_minutes": cap} for cap in (1440, 60, 1)),
    *({"waiting_clock": name} for name in ("waiting_since", "last_message_at")),
]


class Machine(SideBySide):
    """One tenant's life."""

    @initialize(arrivals=st.lists(ARRIVAL, min_size=5, max_size=9))
    def begin(self, arrivals: list[dict[str, Any]]) -> None:
        """Something waits."""
        for arrival in arrivals:
            self.arrive(arrival)

    # --- what people do ----------------------------------------------------------------------------

    @rule(by=BY, to=TO, count=st.sampled_from([None, None, 3, 2, 1]))
    def allocate(self, by: str | None, to: str, count: int | None) -> None:
        target = self.people[to]
        caller = self.people[by or to]
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

    @rule(act=st.sampled_from(["claim", "manager-allocate", "reassign"]), by=BY, to=TO, number=NUMBER, force=FORCE)
    def hand(self, act: str, by: str | None, to: str, number: int, force: dict[str, Any]) -> None:
        target = self.people[to]
        caller = self.people[by or (to if act == "claim" else "mia")]
        c = self.which(number, "ALLOCATED" if act == "reassign" else "QUEUED")
        facts = {} if act == "claim" else force
        self.act(caller, act, c, {"operator_id": target.pk} | facts, lambda: self.reference.hand(act, caller, target, c, **facts))

    @rule(act=st.sampled_from(["release", "resolve", "deallocate"]), by=BY, number=NUMBER)
    def end(self, act: str, by: str | None, number: int) -> None:
        c = self.which(number, "ALLOCATED")
        caller = self.people[by] if by else c.holder if c.holder and act != "deallocate" else self.people["mia"]
        self.act(caller, act, c, {"reason": "not mine"} if act == "release" else {}, lambda: self.reference.end(act, caller, c))

    @rule(by=BY, number=NUMBER, inbox=INBOX)
    def move(self, by: str | None, number: int, inbox: str) -> None:
        c, caller, to = self.which(number, "QUEUED", "ALLOCATED"), self.people[by or "mia"], self.inboxes[inbox]
        self.act(caller, "move-inbox", c, {"inbox_id": to}, lambda: self.reference.move(caller, c, to))

    @rule(by=BY, number=NUMBER, word=st.sampled_from(range(3)), worn=st.sampled_from([True, True, False]))
    def wear(self, by: str | None, number: int, word: int, worn: bool) -> None:
        c, caller, label = self.which(number, "QUEUED", "ALLOCATED"), self.people[by or "mia"], self.labels[word]
        body, path = {"conversation_id": c.pk, "label_id": label.pk}, f"/labels/{'attach' if worn else 'detach'}"
        self.agree(caller, "POST", path, body, lambda: self.reference.wear(caller, c, label, worn))

    @rule(by=BY, who=TO, status=st.sampled_from(["OFFLINE", "AVAILABLE", "AVAILABLE", "AWAY", "OFFLINE now"]))
    def turn(self, by: str | None, who: str, status: str) -> None:
        person, caller, (status, *now) = self.people[who], self.people[by or who], status.split()
        body = {"status": status} | ({"release": "now"} if now else {})
        path = f"/operators/{person.pk}/status"
        self.agree(caller, "PUT", path, body, lambda: self.reference.turn(caller, person, status, release_now=bool(now)))

    def act(self, by: Person, path: str, c: Conversation, body: dict[str, Any], act: Any) -> None:
        """Something about one conversation, which is answered with it."""
        told, done = self.agree(by, "POST", f"/conversations/{path}", {"conversation_id": c.pk} | body, act)
        if done:
            self.same(told, c)

    def which(self, number: int, *states: str) -> Conversation:
        """One of the conversations: by a low number one in these states, if there is one."""
        every = self.reference.conversations
        fitting = [c for c in every if c.state in states] if number < MOST else []
        return (fitting or every)[number % len(fitting or every)]

    # --- what arrives, and time --------------------------------------------------------------------

    @rule(arrival=ARRIVAL)
    def arrive(self, arrival: dict[str, Any]) -> None:
        if len(self.reference.conversations) == MOST:
            return
        unanswered = arrival["unanswered"]
        facts = {
            "message_count": arrival["messages"],
            "last_message_at": self.now - arrival["ago"],
            "waiting_since": None if unanswered is None else self.now - unanswered,
        }
        row = self.cast.conversation(inbox=getattr(self.cast, arrival["inbox"]), **facts)
        self.reference.conversations.append(Conversation(pk=row.pk, inbox=row.inbox_id, **facts))

    @rule(duration=st.sampled_from([MINUTE, 5 * MINUTE, 15 * MINUTE, DAY]), beat=st.booleans())
    def pass_time(self, duration: timedelta, beat: bool) -> None:
        self.reference.now += duration
        self.ground.clock.stand_at(self.now)
        if beat:
            assert expiry.expire_due() == (len(self.reference.expire()), 0)
            recalculation.tick()

    @rule(number=NUMBER, off=st.sampled_from([0 * DAY, -MICROSECOND, MICROSECOND]), beat=st.booleans())
    def come_to(self, number: int, off: timedelta, beat: bool) -> None:
        """To the end of a grace period or of a cool-down, to the delay cap, to what was the future: give or take a microsecond."""
        rows, cooldown, delay_cap = self.reference.conversations, *map(self.reference.minutes, ("cooldown_minutes", "delay_cap_minutes"))
        near = [c.grace_ends for c in rows if c.grace_ends]
        near += [at + cooldown for who in self.people.values() for at in who.released.values()]
        far = [self.reference.waits_from(c) + wait for c in rows for wait in (timedelta(), delay_cap)]
        ahead = [sorted(edge + off for edge in edges if edge + off > self.now) for edges in (near, far)]
        edges = (number < MOST and ahead[0]) or ahead[1]
        if edges:
            self.pass_time(edges[number % len(edges)] - self.now, beat)

    # --- what managers decide ----------------------------------------------------------------------

    @rule(by=BY, who=TO, own=LIMIT, limits=LIMITS)
    def limit(self, by: str | None, who: str, own: int | None, limits: dict[str, int | None]) -> None:
        """How much somebody may hold, in all and of an inbox."""
        person, caller, seats = self.people[who], self.people[by or "mia"], {self.inboxes[name]: most for name, most in limits.items()}
        body = {"own_limit": own, "inboxes": [{"inbox_id": inbox, "limit": most} for inbox, most in seats.items()]}
        self.agree(caller, "PATCH", f"/operators/{person.pk}/capacity", body, lambda: self.reference.limit(caller, person, own, seats))

    @rule(who=TO, names=st.sampled_from([("support", "sales"), ("support",), ("sales",), ()]))
    def seat(self, who: str, names: tuple[str, ...]) -> None:
        """Where somebody answers. A place that is left and taken again has no limit."""
        person, places = self.people[who], [self.inboxes[name] for name in names]
        with isolation.act_as(self.cast.tenant.pk):
            desk.answer_at(person.pk, places)
        person.seats = {inbox: person.seats.get(inbox) for inbox in places}

    @rule(wish=st.sampled_from(WISHES))
    def tune(self, wish: dict[str, Any]) -> None:
        """The tenant's settings; the queue is ranked anew."""
        ada, settings = self.people["ada"], self.reference.settings
        settings |= wish
        told = self.ask(ada, "PATCH", "/tenant", wish).data
        assert {name: told[name] for name in settings} == settings
        ranked = self.ask(ada, "POST", "/conversations/update-priorities").data["updated_count"]
        assert ranked == len([c for c in self.reference.conversations if c.state != "RESOLVED"])

    @rule(inbox=INBOX, minutes=st.sampled_from([60, 1, None]))
    def grant(self, inbox: str, minutes: int | None) -> None:
        """How long grace is at an inbox; None: as the tenant says."""
        with isolation.act_as(self.cast.tenant.pk):
            inboxes.change(self.inboxes[inbox], grace_period_minutes=minutes)
        self.reference.graces.pop(self.inboxes[inbox], None)
        if minutes:
            self.reference.graces[self.inboxes[inbox]] = minutes
