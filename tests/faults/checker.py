"""Compares what clients were told with what the log tells and what stands in the rows. Pure: it asks nobody.

Lost: somebody was told that it is done, and it is not. Doubled: it was done twice, or two hold it at once. Contradicted:
somebody was told something else than what happened, or something happened that nobody asked for.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.history import Call, Entry, Outcome, Rows, Shown

STATUS = "operator.status_changed"
DONE_BY = {
    "create": "conversation.created",
    "allocate": "conversation.allocated",
    "claim": "conversation.claimed",
    "manager-allocate": "conversation.assigned",
    "resolve": "conversation.resolved",
    "release": "conversation.released",
    "deallocate": "conversation.deallocated",
    "reassign": "conversation.reassigned",
    "status": STATUS,
}
ENTERS = dict.fromkeys(("create", "release", "deallocate"), "QUEUED") | {"resolve": "RESOLVED"}  # the others hand it to somebody
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
    nobody_was_sent_away(history, stories, found)
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
        if not right or call.conversation not in (None, shown.conversation):
            found.contradicted.append(f"{call} was told {shown}")


def each_call_did_all_or_nothing(history: Sequence[Call], log: Sequence[Entry], found: Verdict) -> None:
    """What a call changed is all that it asked for, once; nothing where it was refused. Nobody else changed anything."""
    calls = {call.id: call for call in history}
    done = defaultdict[str, list[Entry]](list)
    for entry in log:
        if entry.request:
            done[entry.request].append(entry)
    for request, entries in done.items():
        call = calls.get(request)
        if call is None or call.outcome is Outcome.FAIL:
            found.contradicted.append(f"{call or 'nobody'} was told no, and {entries[0]} happened")
            continue
        acts = [entry for entry in entries if entry.kind == DONE_BY[call.act]]
        foreign = [entry for entry in entries if entry.kind != DONE_BY[call.act] and not entry.kind.startswith("grace.")]
        if foreign or not acts or any(subject_of(call) not in (None, entry.subject) for entry in acts):
            found.contradicted.append(f"{call} did something else, or half of it: {entries}")
        if len(acts) > call.number or len({entry.subject for entry in acts}) < len(acts):
            found.doubled.append(f"{call} was done more than once: {acts}")


def nobody_was_shown_the_past(history: Sequence[Call], found: Verdict) -> None:
    """Who asks after an answer was given, is told of that version or of a later one."""
    shows = defaultdict[int, list[tuple[Call, int]]](list)
    for call, shown in answered(history):
        shows[shown.conversation].append((call, shown.version))
    for answers in shows.values():
        ends = sorted((call.ended, version) for call, version in answers)
        seen = 0
        for call, version in sorted(answers, key=lambda answer: answer[0].began):
            while ends and ends[0][0] < call.began:
                seen = max(seen, ends.pop(0)[1])
            if version < seen:
                found.contradicted.append(f"{call} was told of version {version}, after somebody was told of {seen}")


def statuses_stand(history: Sequence[Call], log: Sequence[Entry], rows: Rows, found: Verdict) -> None:
    """The status that was answered is in the operator's presence, which is what the log tells."""
    periods = set(rows.presence)
    for call in history:
        if call.act == "status" and call.outcome is Outcome.OK and (call.operator, call.status, call.since) not in periods:
            found.lost.append(f"{call} was answered, and was never so")
    for operator in {entry.subject for entry in log if entry.kind == STATUS}:
        changes = [(entry.before["status"], entry.after["status"]) for entry in log if (entry.kind, entry.subject) == (STATUS, operator)]
        stays = list(pairwise(period.status for period in rows.presence if period.operator == operator))
        if changes != stays:
            found.lost.append(f"operator {operator} went {changes} by the log, {stays} by their presence")


def nobody_was_sent_away(history: Sequence[Call], stories: dict[int, Story], found: Verdict) -> None:
    """Nobody is told that nothing waits, while something waited from before they asked until after they were told."""
    calls = {call.id: call for call in history}
    empty = [call for call in history if call.act == "allocate" and call.outcome is Outcome.OK and not call.shown]
    for began, ended in waits(stories, calls):
        found.contradicted += [f"{call} was told that nothing waits" for call in empty if began < call.began and call.ended < ended]


def waits(stories: dict[int, Story], calls: dict[str, Call]) -> Iterator[tuple[float, float]]:
    """Stretches of time in which a conversation surely waited."""
    for story in stories.values():
        for version, (entry, shown) in story.items():
            maker, taker = calls.get(entry.request), story.get(version + 1)
            if shown.state == "QUEUED" and maker is not None and maker.outcome is Outcome.OK:
                taken = float("inf") if taker is None else calls[taker[0].request].began if taker[0].request in calls else maker.ended
                yield maker.ended, taken


def answered(history: Sequence[Call]) -> Iterator[tuple[Call, Shown]]:
    """Every conversation that somebody was shown."""
    return ((call, shown) for call in history if call.outcome is Outcome.OK for shown in call.shown)


def subject_of(call: Call) -> int | None:
    """What its event must be about; None: whatever was the best."""
    return call.operator if call.act == "status" else call.conversation
