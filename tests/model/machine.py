"""What happens to a tenant, in any order: what people do and look at, what arrives, what managers decide, the beat, and time."""

from copy import copy
from datetime import datetime, timedelta
from typing import Any

from hypothesis.stateful import initialize, rule

from conversations import lifecycle, queue, tasks
from operators import desk, staff
from operators.models import Subscription
from tenants import isolation
from tenants.models import Tenant
from tests.model.acts import Acts
from tests.model.choices import ARRIVALS, MOST, ROSTER, STEP
from tests.model.looks import Looks
from tests.model.reference import Thing


class Machine(Acts, Looks):
    """One tenant's life."""

    @rule(step=STEP)
    def live(self, step: tuple[str, dict[str, Any]]) -> None:
        """One step further."""
        name, facts = step
        getattr(self, name)(**facts)

    # --- what arrives ------------------------------------------------------------------------------

    @initialize(roster=ROSTER, arrivals=ARRIVALS)
    def begin(self, roster: dict[str, Any], arrivals: list[tuple[dict[str, Any], str | None]]) -> None:
        """In the middle of a day: something waits, something is held."""
        for who, (capacity, limits) in roster.items():
            self.employ(who, capacity, limits)
        for number, (arrival, holder) in enumerate(arrivals):
            self._arrive(**arrival)
            if holder:
                self._hand("claim", "claim", self.people[holder], holder, self.reference.conversations[number], {})

    def arrive(self, arrival: dict[str, Any]) -> None:
        if len(self.reference.conversations) < MOST:
            self._arrive(**arrival)

    def _arrive(self, inbox: str, messages: int, ago: timedelta, unanswered: timedelta | None) -> None:
        waiting_since = None if unanswered is None else self.now - unanswered
        facts = {"message_count": messages, "last_message_at": self.now - ago, "waiting_since": waiting_since}
        row = self.cast.conversation(inbox=getattr(self.cast, inbox), **facts)
        c = Thing(pk=row.pk, inbox=self.inboxes[inbox], state="QUEUED", version=1, holder=None, labels=[], last=None, **facts)
        c.grace_ends = c.resolved_at = None
        self.reference.place(c)
        self.reference.conversations.append(c)

    def hear(self, number: int) -> None:
        """Another message. The product has no room for it yet: this is what one will have to do."""
        c = self.which(number % MOST, "QUEUED", "ALLOCATED")
        if c.state == "RESOLVED":
            return
        heard = {"message_count": c.message_count + 1, "last_message_at": self.now}
        with isolation.act_as(self.cast.tenant.pk):
            row = queue.lock(c.pk)
            then = copy(row)
            vars(then).update(heard)
            place = queue.place(then, Tenant.objects.get(), self.now)
            lifecycle.write(row, "conversation.heard", self.now, place=place, **heard)
        self.reference.place(self.reference.change(c, **heard))

    # --- time --------------------------------------------------------------------------------------

    def pass_time(self, duration: timedelta, beat: bool) -> None:
        self.reference.now += duration
        self.ground.clock.stand_at(self.now)
        if beat:
            self.beat()

    def come_to(self, number: int, off: timedelta, beat: bool) -> None:
        """To the end of a grace period or a cool-down, to a delay cap, to what was the future: give or take a microsecond."""
        delay_cap, cooldown = self.reference.minutes("delay_cap_minutes"), self.reference.minutes("cooldown_minutes")
        rows, people = self.reference.conversations, self.people.values()
        deadlines = [c.grace_ends for c in rows if c.grace_ends] + [at + cooldown for who in people for at in who.released.values()]
        places = [c.waits_from + wait for c in rows for wait in (timedelta(), delay_cap)]
        ahead = self._ahead(deadlines, off) if number < MOST else []
        ahead = ahead or self._ahead(places, off)
        if ahead:
            self.pass_time(ahead[number % len(ahead)] - self.now, beat)

    def _ahead(self, edges: list[datetime], off: timedelta) -> list[datetime]:
        return sorted({edge + off for edge in edges if edge + off > self.now})

    # --- what managers decide ----------------------------------------------------------------------

    def employ(self, who: str, capacity: int | None, limits: dict[str, int | None]) -> None:
        """For so much work in all, at these inboxes, of each so much."""
        person = self.people[who]
        person.capacity, person.limits = capacity, {self.inboxes[inbox]: limit for inbox, limit in limits.items()}
        with isolation.act_as(self.cast.tenant.pk):
            staff.change(person.pk, by=self.cast.ada, capacity=capacity)
            desk.answer_at(person.pk, person.limits)
            for inbox, limit in person.limits.items():
                Subscription.objects.filter(operator_id=person.pk, inbox_id=inbox).update(capacity=limit)

    def tune(self, wish: dict[str, Any], at_once: bool) -> None:
        """After other weights the queue is ranked anew at once, or a while later: then old and new places mix meanwhile."""
        status, answer = self.ask(self.people["ada"], "PATCH", "/tenant", wish)
        other_weights = self.reference.tune(wish)

        assert (status, {name: answer["data"][name] for name in self.reference.settings}) == (200, self.reference.settings)
        assert answer["data"]["ranking"]["up_to_date"] is not self.reference.behind
        assert self.ground.bell.rung() == ([f"conversations.tasks.rank_anew({self.cast.tenant.pk},)"] if other_weights else [])
        if at_once:
            self.rank_anew()

    # --- what workers and the beat do --------------------------------------------------------------

    def rank_anew(self) -> None:
        assert tasks.rank_anew(self.cast.tenant.pk) == {"reranked": self.reference.rank_anew()}

    def beat(self) -> None:
        assert tasks.expire_grace_periods() == {"released": len(self.reference.expire()), "closed": 0}
        assert tasks.keep_ranks()["reranked"] == self.reference.rank_anew()
