"""Compares what clients were told with what the log tells and what stands in the rows. Pure: it asks nobody.

Lost: somebody was told that it is done, and it is not. Doubled: it was done twice, or two hold it at once. Contradicted:
somebody was told something else than what happened, or something happened that nobody asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf
from typing import Any, TypeVar

from tests.faults.history import Call, Entry, Outcome, Rows, Shown

STATUS, SETTINGS, EXTENDED, REQUEUED = "operator.status_changed", "tenant.settings_changed", "grace.extended", "conversation.requeued"
LOST = "lost"  # the cause of a status that the clock set
DONE_BY = {
    "create": "conversation.created",
    "allocate": "conversation.allocated",
    "claim": "conversation.claimed",
    "manager-allocate": "conversation.assigned",
    "resolve": "conversation.resolved",
    "release": "conversation.released",
    "deallocate": "conversation.deallocated",
    "reassign": "conversation.reassigned",
    "move-inbox": "conversation.moved",
    "status": STATUS,
    "release-now": STATUS,
    "expire-now": REQUEUED,
    "extend": EXTENDED,
    "settings": SETTINGS,
    "heartbeat": "",  # it tells nobody
}
ALONG = {"release-now": "conversation.deallocated"}  # any number of them, also where the status was that already
GRACE_ENDS = {"grace.expired", "grace.cancelled"}
# What nobody may do without having been asked. The clock requeues, and declares lost.
ASKED_FOR = {*DONE_BY.values(), *ALONG.values()} - {REQUEUED}
# The others hand it to somebody; a move says nothing about it where the inbox is the same.
ENTERS = dict.fromkeys(("create", "release", "deallocate", "expire-now"), "QUEUED") | {"resolve": "RESOLVED"}
WHOSE_STATUS = {"status", "release-now"}
Known = TypeVar("Known", int, str)
Story = dict[int, tuple[Entry, Shown]]  # of a conversation: what made each of its versions, and what it was then


@dataclass
class Verdict:
    """What was found, a sentence each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)


def check(history: Sequence[Call], log: Iterable[Entry], rows: Rows) -> Verdict:
    """All three lists are empty when the history can be believed."""
    found = Verdict()
    log = sorted(log, key=lambda entry: entry.id)
    stories = told(log, found)
    the_rows_are_the_log(stories, rows, found)
    answers_are_the_log(history, stories, found)
    answers_are_what_was_asked(history, found)
    each_call_did_all_or_nothing(history, log, found)
    nobody_was_shown_the_past(history, found)
    statuses_stand(history, log, rows, found)
    leases_stand(history, rows, found)
    nobody_is_lost_who_was_heard(history, log, rows, found)
    deadlines_stand(history, log, found)
    grace_ends_once(log, found)
    settings_stand(history, log, rows, found)
    nobody_was_sent_away(history, stories, found)
    nobody_keeps_what_was_put_back(history, stories, found)
    return found


def told(log: Sequence[Entry], found: Verdict) -> dict[int, Story]:
    """The story of each conversation by the log alone, which must be one without gaps and without two holders at once."""
    stories: dict[int, Story] = defaultdict(dict)
    last = dict[int, Shown]()
    for entry in log:
        if not entry.kind.startswith("conversation."):
            continue
        stood = last.get(entry.subject, Shown(entry.subject, "", None, 0))
        now = Shown(
            entry.subject,
            entry.after.get("state", stood.state),
            entry.after.get("assigned_operator_id", stood.holder),
            entry.after["version"],
            entry.after.get("inbox_id", stood.inbox),
        )
        if now.version <= stood.version:
            found.doubled.append(f"version {now.version} of conversation {entry.subject} is told twice: {entry}")
        elif now.version > stood.version + 1:
            found.lost.append(f"between {stood} and {now} something is missing in the log")
        elif (
            entry.before.get("assigned_operator_id", stood.holder) != stood.holder or entry.before.get("state", stood.state) != stood.state
        ):
            found.doubled.append(f"{entry} begins with another holder or state than {stood}")
        last[entry.subject], stories[entry.subject][now.version] = now, (entry, now)
    return stories


def the_rows_are_the_log(stories: dict[int, Story], rows: Rows, found: Verdict) -> None:
    """What the log says at last, stands; who holds by the rows, holds by the log, alone."""
    stand = {row.conversation: row for row in rows.conversations}
    ends = {conversation: story[max(story)][1] for conversation, story in stories.items()}
    found.lost += [f"{ends.get(key)} by the log is {stand.get(key)} in its row" for key in stand | ends if stand.get(key) != ends.get(key)]
    holders = defaultdict[int, list[int]](list)
    for conversation, operator in rows.assignments:
        holders[conversation].append(operator)
    found.doubled += [f"conversation {key} is held by {some}" for key, some in holders.items() if len(some) > 1]
    by_log = {key: end.holder for key, end in ends.items() if end.holder is not None}
    by_rows = {key: some[0] for key, some in holders.items()}
    found.lost += [
        f"conversation {key} is held by {by_log.get(key)} in the log, by {by_rows.get(key)} in the rows"
        for key in by_log | by_rows
        if by_log.get(key) != by_rows.get(key)
    ]


def answers_are_the_log(history: Sequence[Call], stories: dict[int, Story], found: Verdict) -> None:
    """An answer shows the conversation as its own transaction left it: that version is in the log, and no other answer differs."""
    holders = dict[tuple[int, int], int | None]()
    for call, shown in answered(history):
        was = stories.get(shown.conversation, {}).get(shown.version)
        if was is None:
            found.lost.append(f"{call} was answered, and the log knows nothing of it")
        elif was[1] != shown:
            found.contradicted.append(f"{call} was told {shown}, and it was {was[1]}")
        if holders.setdefault((shown.conversation, shown.version), shown.holder) != shown.holder:
            found.doubled.append(f"{call} and another call were told of different holders at once")


def answers_are_what_was_asked(history: Sequence[Call], found: Verdict) -> None:
    """A claim that is answered with somebody else's conversation is no claim."""
    for call, shown in answered(history):
        state = ENTERS.get(call.act, "ALLOCATED")
        right = (shown.state, shown.holder) == (state, call.operator if state == "ALLOCATED" else None)
        if call.act == "move-inbox":
            right = shown.inbox == call.inbox
        if not right or call.conversation not in (None, shown.conversation):
            found.contradicted.append(f"{call} was told {shown}")


def each_call_did_all_or_nothing(history: Sequence[Call], log: Sequence[Entry], found: Verdict) -> None:
    """What a call changed is all that it asked for, once; nothing where it was refused. Nobody else changed anything."""
    calls = {call.id: call for call in history}
    done = defaultdict[str, list[Entry]](list)
    for entry in log:
        if entry.request:
            done[entry.request].append(entry)
        elif entry.kind in ASKED_FOR and (entry.kind, entry.cause) != (STATUS, LOST):
            found.contradicted.append(f"nobody asked for {entry}")
    for request, entries in done.items():
        call = calls.get(request)
        if call is None or call.outcome is Outcome.FAIL:
            found.contradicted.append(f"{call or 'nobody'} was told no, and {entries[0]} happened")
            continue
        acts = [entry for entry in entries if entry.kind == DONE_BY[call.act]]
        along = [entry for entry in entries if entry.kind == ALONG.get(call.act)]
        foreign = [entry for entry in entries if entry not in acts + along and not entry.kind.startswith("grace.")]
        if foreign or not acts + along or any(subject_of(call) not in (None, entry.subject) for entry in acts):
            found.contradicted.append(f"{call} did something else, or half of it: {entries}")
        if len(acts) > call.number or len({(entry.kind, entry.subject) for entry in acts + along}) < len(acts + along):
            found.doubled.append(f"{call} was done more than once: {acts + along}")


def nobody_was_shown_the_past(history: Sequence[Call], found: Verdict) -> None:
    """Who asks after an answer was given, is told of that version or of a later one."""
    shows = defaultdict[int, list[tuple[Call, int]]](list)
    for call, shown in answered(history):
        shows[shown.conversation].append((call, shown.version))
    for answers in shows.values():
        for call, version, seen in with_what_was_known(answers, 0):
            if version < seen:
                found.contradicted.append(f"{call} was told of version {version}, after somebody was told of {seen}")


def statuses_stand(history: Sequence[Call], log: Sequence[Entry], rows: Rows, found: Verdict) -> None:
    """The status that was answered is in the operator's presence, which is what the log tells."""
    periods = set(rows.presence)
    for call in history:
        if call.act in WHOSE_STATUS and call.outcome is Outcome.OK and (call.operator, call.status, call.instant) not in periods:
            found.lost.append(f"{call} was answered, and was never so")
    for operator in {entry.subject for entry in log if entry.kind == STATUS}:
        changes = [(entry.before["status"], entry.after["status"]) for entry in log if (entry.kind, entry.subject) == (STATUS, operator)]
        stays = list(pairwise(period.status for period in rows.presence if period.operator == operator))
        if changes != stays:
            found.lost.append(f"operator {operator} went {changes} by the log, {stays} by their presence")


def leases_stand(history: Sequence[Call], rows: Rows, found: Verdict) -> None:
    """Whoever was told until when they count as there, counts as there until then at least; each sign of life makes that later."""
    told = defaultdict[int, list[tuple[Call, str]]](list)
    for call in history:
        if call.act == "heartbeat" and call.outcome is Outcome.OK and call.instant:
            told[call.operator or 0].append((call, call.instant))
    for operator, answers in told.items():
        end = rows.leases.get(operator, "")
        found.lost += [f"{call} was answered, and the lease ends at {end}" for call, instant in answers if instant > end]
        found.lost += [
            f"{call} was told of no more than somebody before: {seen}"
            for call, instant, seen in with_what_was_known(answers, "")
            if instant <= seen
        ]


def nobody_is_lost_who_was_heard(history: Sequence[Call], log: Sequence[Entry], rows: Rows, found: Verdict) -> None:
    """The clock declares nobody lost within a lease that they were told of, which runs from their sign of life."""
    lease = timedelta(seconds=rows.lease_seconds)
    for entry in (entry for entry in log if (entry.kind, entry.cause, entry.request) == (STATUS, LOST, "")):
        lost = datetime.fromisoformat(entry.at)
        found.contradicted += [
            f"{call} was answered, and then {entry}"
            for call in history
            if (call.act, call.outcome, call.operator) == ("heartbeat", Outcome.OK, entry.subject) and call.instant
            if timedelta() < datetime.fromisoformat(call.instant) - lost < lease
        ]


def deadlines_stand(history: Sequence[Call], log: Sequence[Entry], found: Verdict) -> None:
    """Who was told of more time, has it by the log."""
    told = {entry.request: entry.after["expires_at"] for entry in log if entry.kind == EXTENDED}
    for call in history:
        if call.act == "extend" and call.outcome is Outcome.OK and told.get(call.id) != call.instant:
            kind = found.contradicted if call.id in told else found.lost
            kind.append(f"{call} was answered, and by the log it ends at {told.get(call.id)}")


def grace_ends_once(log: Sequence[Entry], found: Verdict) -> None:
    """After its end nothing is told of a grace period any more."""
    ended = set[int]()
    for entry in log:
        if entry.kind.startswith("grace."):
            if entry.subject in ended:
                found.doubled.append(f"{entry} after the grace period had ended")
            elif entry.kind in GRACE_ENDS:
                ended.add(entry.subject)


def settings_stand(history: Sequence[Call], log: Sequence[Entry], rows: Rows, found: Verdict) -> None:
    """The settings are those that the log tells, change by change; those that were answered stood when they were."""
    calls, stood = {call.id: call for call in history}, dict[str, Any]()
    ever = defaultdict[str, list[tuple[Any, float, float]]](list)  # what it was: from when at the earliest, until when at the latest
    for entry in (entry for entry in log if entry.kind == SETTINGS and entry.request in calls):
        maker = calls[entry.request]
        for name, before in entry.before.items():
            value, since, _ = ever[name].pop() if ever[name] else (before, 0.0, 0.0)
            if value != before:
                found.doubled.append(f"{entry} begins with another {name} than {value}")
            until = maker.ended if maker.outcome is Outcome.OK else inf
            ever[name] += [(value, since, until), (entry.after[name], maker.began, inf)]
        stood |= entry.after
    found.lost += [
        f"{name} is {value} by the log, {rows.settings[name]} in its row" for name, value in stood.items() if rows.settings[name] != value
    ]
    for call in (call for call in history if call.act == "settings" and call.outcome is Outcome.OK):
        if call.got != call.wish:
            found.contradicted.append(f"{call} was told something else than it asked for")
        for name, wish in call.wish.items():
            stays = ever[name] or [(rows.settings[name], 0.0, inf)]
            if not any(value == wish and since <= call.ended and call.began <= until for value, since, until in stays):
                found.lost.append(f"{call} was answered, and was never so")


def nobody_was_sent_away(history: Sequence[Call], stories: dict[int, Story], found: Verdict) -> None:
    """Nobody is told that nothing waits, while something waited from before they asked until after they were told."""
    empty = [call for call in history if call.act == "allocate" and call.outcome is Outcome.OK and not call.shown]
    for _, began, ended in stretches(history, stories, "QUEUED"):
        found.contradicted += [f"{call} was told that nothing waits" for call in empty if began < call.began and call.ended < ended]


def nobody_keeps_what_was_put_back(history: Sequence[Call], stories: dict[int, Story], found: Verdict) -> None:
    """Whose work goes back to the queue at once, holds nothing of what they held."""
    homes = [call for call in history if call.act == "release-now" and call.outcome is Outcome.OK]
    for shown, began, ended in stretches(history, stories, "ALLOCATED"):
        found.contradicted += [
            f"{call} was answered, and {shown} stood all the while"
            for call in homes
            if call.operator == shown.holder and began < call.began and call.ended < ended
        ]


def stretches(history: Sequence[Call], stories: dict[int, Story], state: str) -> Iterator[tuple[Shown, float, float]]:
    """Stretches of time in which a conversation surely stood so."""
    calls = {call.id: call for call in history}
    for story in stories.values():
        for version, (entry, shown) in story.items():
            maker, taker = calls.get(entry.request), story.get(version + 1)
            if shown.state == state and maker is not None and maker.outcome is Outcome.OK:
                taken = inf if taker is None else calls[taker[0].request].began if taker[0].request in calls else maker.ended
                yield shown, maker.ended, taken


def with_what_was_known(answers: Sequence[tuple[Call, Known]], nothing: Known) -> Iterator[tuple[Call, Known, Known]]:
    """Each answer, with the most that anybody had been told before it was asked for."""
    ends = sorted((call.ended, told) for call, told in answers)
    seen = nothing
    for call, told in sorted(answers, key=lambda answer: answer[0].began):
        while ends and ends[0][0] < call.began:
            seen = max(seen, ends.pop(0)[1])
        yield call, told, seen


def answered(history: Sequence[Call]) -> Iterator[tuple[Call, Shown]]:
    """Every conversation that somebody was shown."""
    return ((call, shown) for call in history if call.outcome is Outcome.OK for shown in call.shown)


def subject_of(call: Call) -> int | None:
    """What its event must be about; None: whatever was the best, or the tenant."""
    return call.operator if call.act in WHOSE_STATUS else call.period if call.act == "extend" else call.conversation
