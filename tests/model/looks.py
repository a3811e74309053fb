"""What people look at: one conversation, why it stands where it stands, pages of a list, numbers. Looking changes nothing."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from convalloc import clock
from tests.model.choices import MINUTE
from tests.model.reference import Thing
from tests.model.side_by_side import SideBySide


class Looks(SideBySide):
    """Every question has one answer."""

    def look(self, by: str, number: int) -> None:
        """At one conversation, and at why it stands where it stands."""
        c, caller = self.which(number, "QUEUED"), self.people[by]
        if not self.agree(caller, "GET", f"/conversations/{c.pk}", None, lambda: self.reference.see(caller, c)):
            return
        self.same(self.answer["data"], c)
        self.agree(caller, "GET", f"/conversations/{c.pk}/priority", None, lambda: self.reference.see(caller, c))
        told, queued = self.answer["data"], [other for other in self.reference.conversations if other.state == "QUEUED"]
        if not c.stale:
            assert (told["score"], told["saturates_at"]) == (self.score(c), self._saturates_at(c))
        if c.state != "QUEUED" or not any(other.stale for other in queued):
            assert told["rank"] == self._rank(c, caller, queued)

    def _rank(self, c: Thing, caller: Thing, queued: list[Thing]) -> dict[str, int] | None:
        here = self.in_order(other for other in queued if other.inbox == c.inbox)
        callers = self.in_order(other for other in queued if caller.manages or other.inbox in caller.limits)
        if c.state != "QUEUED":
            return None
        return {
            "position_in_inbox": here.index(c.pk) + 1,
            "waiting_in_inbox": len(here),
            "position_for_caller": callers.index(c.pk) + 1,
            "waiting_for_caller": len(callers),
        }

    def _saturates_at(self, c: Thing) -> str | None:
        moment = c.waits_from + self.reference.minutes("delay_cap_minutes")
        if not self.reference.settings["priority_beta"] or c.state == "RESOLVED" or moment <= self.now:
            return None
        return clock.instant(moment)

    def walk(self, by: str, sort: str, filters: dict[str, Any], limit: int) -> None:
        """Through a list, page by page, to its end."""
        caller, wish = self.people[by], self._wish(filters)
        rows: list[dict[str, Any]] = []
        query: dict[str, Any] = {"sort": sort, "limit": limit} | {name: value for name, (value, _) in wish.items()}
        listed = lambda: self.reference.listed(caller, query.get("inbox_id"))  # noqa: E731
        while query.get("cursor", "") is not None:
            seen = self.agree(caller, "GET", f"/conversations?{urlencode(query)}", None, listed)
            if seen is None:
                return
            rows += self.answer["data"]["conversations"]
            query["cursor"] = self.answer["data"]["next_cursor"]

        expected = [c for c in seen if all(fits(c) for _, fits in wish.values())]
        known = {c.pk: c for c in expected}
        assert sorted(row["id"] for row in rows) == sorted(known)
        assert [row["id"] for row in rows if sort != "priority" or not known[row["id"]].stale] == self._sorted(expected, sort)
        for row in rows:
            self.same(row, known[row["id"]])

    def _wish(self, filters: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Filters as the API names them: what to send, and what then fits."""
        wish: dict[str, tuple[Any, Any]] = {}
        if "inbox" in filters:
            inbox = self.inboxes[filters["inbox"]]
            wish["inbox_id"] = inbox, lambda c: c.inbox == inbox
        if "holder" in filters:
            holder = self.people[filters["holder"]]
            wish["operator_id"] = holder.pk, lambda c: c.holder is holder
        if "label" in filters:
            label = self.labels[filters["label"]]
            wish["label_id"] = label.pk, lambda c: label in c.labels
        if "state" in filters:
            wish["state"] = filters["state"], lambda c: c.state == filters["state"]
        return wish

    def _sorted(self, rows: list[Thing], sort: str) -> list[int]:
        if sort == "priority":
            return self.in_order(rows)
        return [c.pk for c in sorted(rows, key=lambda c: (c.last_message_at, c.pk), reverse=sort == "newest")]

    def count(self, who: str) -> None:
        """What somebody holds and has done, and what waits for them."""
        person, midnight = self.people[who], self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        monday = midnight - timedelta(days=midnight.weekday())
        _, answer = self.ask(self.people["mia"], "GET", f"/operators/{person.pk}/stats")
        held = self.reference.held(person)
        done: list[tuple[datetime, datetime]] = person.resolved
        minutes = [(ended - started) / MINUTE for started, ended in done]
        told = answer["data"]
        assert abs(told.pop("avg_resolution_time_minutes") - sum(minutes) / max(1, len(minutes))) <= 0.006
        assert told == {
            "operator_id": person.pk,
            "active_conversations": len(held),
            "resolved_today": len([ended for _, ended in done if ended >= midnight]),
            "resolved_this_week": len([ended for _, ended in done if ended >= monday]),
            "resolved_total": len(done),
            "oldest_active_since": min((clock.instant(c.started) for c in held), default=None),
            "waiting_in_inboxes": len([c for c in self.reference.conversations if c.state == "QUEUED" and c.inbox in person.limits]),
        }

        self._count_inboxes(person)

    def _count_inboxes(self, caller: Thing) -> None:
        _, answer = self.ask(caller, "GET", "/inboxes")
        told = {row["id"]: (row["queued_conversations"], row["allocated_conversations"]) for row in answer["data"]}
        inboxes = [inbox for inbox in self.inboxes.values() if caller.manages or inbox in caller.limits]
        assert told == {inbox: (self._number(inbox, "QUEUED"), self._number(inbox, "ALLOCATED")) for inbox in inboxes}

    def _number(self, inbox: int, state: str) -> int:
        return len([c for c in self.reference.conversations if (c.inbox, c.state) == (inbox, state)])
