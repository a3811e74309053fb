"""What people do about conversations, and about themselves."""

from collections.abc import Callable
from typing import Any

from tests.model.choices import MOST
from tests.model.reference import Thing
from tests.model.side_by_side import SideBySide


class Acts(SideBySide):
    """Each is done by both, and answered with the same conversation or the same refusal."""

    def who(self, name: str, otherwise: Thing | None) -> Thing:
        """A person by name; whoever it is about, if there is one."""
        return self.people[name] if name in self.people else otherwise or self.people["olga"]

    def act(self, by: Thing, path: str, c: Thing, body: dict[str, Any], act: Callable[[], Thing]) -> None:
        """Something about one conversation."""
        if self.agree(by, "POST", path, {"conversation_id": c.pk} | body, act):
            self.same(self.answer["data"], c)

    def allocate(self, by: str, to: str) -> None:
        self._allocate(by, to, {})

    def allocate_some(self, by: str, to: str, count: int) -> None:
        self._allocate(by, to, {"count": count})

    def _allocate(self, by: str, to: str, count: dict[str, int]) -> None:
        target, caller = self.people[to], self.who(by, self.people[to])
        given = self.agree(
            caller,
            "POST",
            "/conversations/allocate",
            {"operator_id": target.pk} | count,
            lambda: self.reference.allocate(caller, target, best=self._best, **count),
        )
        if given is None:
            return
        rows = self._allocated()
        assert [row["id"] for row in rows] == [c.pk for c in given]
        for row, c in zip(rows, given, strict=True):
            self.same(row, c)

    def _allocated(self) -> list[dict[str, Any]]:
        data = self.answer["data"]
        return data if isinstance(data, list) else [data] if data else []

    def _best(self, waiting: list[Thing]) -> Thing:
        """The first of the order. Where weights of before put something, the product may take that, or the first of the others."""
        placed = [c for c in waiting if not c.stale]
        if placed == waiting:
            return self.reference.best(waiting)
        taken = [c for row in self._allocated() for c in waiting if c.pk == row["id"]]
        assert taken, "it says that nothing waits"
        assert taken[0].stale or taken[0] is self.reference.best(placed)
        return taken[0]

    def claim(self, by: str, to: str, number: int) -> None:
        self._hand("claim", "claim", self.who(by, self.people[to]), to, self.which(number, "QUEUED"), {})

    def assign(self, by: str, to: str, number: int, force: dict[str, Any]) -> None:
        self._hand("assign", "manager-allocate", self.people[by], to, self.which(number, "QUEUED"), force)

    def reassign(self, by: str, to: str, number: int, force: dict[str, Any]) -> None:
        self._hand("reassign", "reassign", self.people[by], to, self.which(number, "ALLOCATED"), force)

    def _hand(self, act: str, path: str, by: Thing, to: str, c: Thing, force: dict[str, Any]) -> None:
        target = self.people[to]
        body = {"operator_id": target.pk} | force
        self.act(by, f"/conversations/{path}", c, body, lambda: self.reference.hand(act, by, target, c, **force))

    def resolve(self, by: str, number: int) -> None:
        self._end("resolve", by, self.which(number, "ALLOCATED"), {})

    def deallocate(self, by: str, number: int) -> None:
        self._end("deallocate", by, self.which(number, "ALLOCATED"), {})

    def release(self, by: str, number: int) -> None:
        self._end("release", by, self.which(number, "ALLOCATED"), {"reason": "not mine"})

    def _end(self, act: str, by: str, c: Thing, body: dict[str, Any]) -> None:
        caller = self.who(by, c.holder)
        self.act(caller, f"/conversations/{act}", c, body, lambda: self.reference.end(act, caller, c))

    def move(self, by: str, number: int, inbox: str) -> None:
        c, caller, to = self.which(number, "QUEUED", "ALLOCATED"), self.people[by], self.inboxes[inbox]
        self.act(caller, "/conversations/move-inbox", c, {"inbox_id": to}, lambda: self.reference.move(caller, c, to))

    def wear(self, by: str, number: int, label: int, worn: bool) -> None:
        c, caller = self.which(number, "QUEUED", "ALLOCATED"), self.people[by]
        fitting = [each for each in self.labels if each.inbox == c.inbox] if number < MOST else self.labels
        word = fitting[label % len(fitting)]
        path = f"/labels/{'attach' if worn else 'detach'}"
        self.act(caller, path, c, {"label_id": word.pk}, lambda: self.reference.wear(caller, c, word, worn))

    def turn(self, by: str, who: str, status: str) -> None:
        person = self.people[who]
        caller = self.who(by, person)
        path = f"/operators/{person.pk}/status"
        if self.agree(caller, "PUT", path, {"status": status}, lambda: self.reference.turn(caller, person, status)):
            assert self.answer["data"]["status"]["status"] == status
