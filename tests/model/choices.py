"""What a life is made of: the steps, how often each is taken, and what each can be about.

First choices are the usual ones: to them Hypothesis shrinks. Steps are weighted, which rules of a state machine cannot be:
most of a life is work, and the rest is what can go wrong with it.
"""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

MOST = 14  # conversations of one life
MICROSECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(days=1)

WHO = st.sampled_from(["olga", "otto", "mia"])
OPERATOR = st.sampled_from(["olga", "otto", "olga", "otto", "olga", "mia"])
THEMSELVES = st.sampled_from(["whoever it is about"] * 5 + ["mia", "otto", "olga"])
MANAGER = st.sampled_from(["mia"] * 5 + ["olga", "otto"])
NUMBER = st.sampled_from(range(MOST + 4))  # below MOST: of a conversation that the step fits; from there: of any
INBOX = st.sampled_from(["support", "sales"])
LABEL = st.sampled_from(range(3))
STATUS = st.sampled_from(["AVAILABLE", "OFFLINE", "AVAILABLE", "AWAY"])
LIMIT = st.sampled_from([None, None, 2, None, 3, 1, None, 0])
LIMITS = st.sampled_from(["support sales", "support sales", "support sales", "support", "sales", ""]).flatmap(
    lambda inboxes: st.fixed_dictionaries(dict.fromkeys(inboxes.split(), LIMIT))
)
ROSTER = st.fixed_dictionaries(dict.fromkeys(["olga", "otto", "mia"], st.tuples(LIMIT, LIMITS)))
FORCE: st.SearchStrategy[dict[str, Any]] = st.sampled_from([{}, {}, {}, {"force": True, "reason": "lunch"}, {"force": True}])

# Exact ties (a message is worth 9.6 minutes at first), the neighbourhood of the delay caps to the microsecond, the future.
AGO = st.sampled_from(
    [10 * MINUTE, 10 * MINUTE, 19.6 * MINUTE, 0 * DAY, MICROSECOND, 60 * MINUTE, DAY - MICROSECOND, DAY, 3 * DAY, -5 * MINUTE]
)
ARRIVAL = st.fixed_dictionaries(
    {"inbox": INBOX, "messages": st.sampled_from([1, 1, 2, 3, 100, 500, 0]), "ago": AGO, "unanswered": st.none() | AGO}
)
ARRIVALS = st.lists(st.tuples(ARRIVAL, st.sampled_from([None, None, None, "olga", "otto"])), min_size=5, max_size=10)
DURATION = st.sampled_from([MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, DAY, MICROSECOND])
OFF = st.sampled_from([0 * DAY, -MICROSECOND, MICROSECOND])

WEIGHTS: list[dict[str, Any]] = [
    *({"priority_alpha": alpha, "priority_beta": beta} for alpha, beta in ((0.4, 0.6), (0, 1), (1, 0), (100, 0.0001))),
    *({"message_cap": cap} for cap in (100, 3, 1)),
    *({"delay_cap_minutes": cap} for cap in (1440, 60, 1)),
    *({"waiting_clock": name} for name in ("waiting_since", "last_message_at")),
]
RULES: list[dict[str, Any]] = [
    *({"operator_capacity": limit} for limit in (None, 1, 3)),
    *({"cooldown_minutes": minutes} for minutes in (5, 60, 0)),
    *({"grace_period_minutes": minutes} for minutes in (15, 1)),
]
SETTINGS = st.sampled_from(RULES) | st.sampled_from(WEIGHTS)

SORT = st.sampled_from(["priority", "newest", "oldest"])
STATE = st.sampled_from(["QUEUED", "ALLOCATED", "RESOLVED"])
FILTERS = st.fixed_dictionaries({}, optional={"inbox": INBOX, "holder": WHO, "label": LABEL, "state": STATE})
PAGE = st.sampled_from([2, 1, 5])

STEPS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "allocate": (8, {"by": THEMSELVES, "to": OPERATOR}),
    "allocate_some": (3, {"by": THEMSELVES, "to": OPERATOR, "count": st.integers(1, 4)}),
    "claim": (4, {"by": THEMSELVES, "to": OPERATOR, "number": NUMBER}),
    "assign": (3, {"by": MANAGER, "to": OPERATOR, "number": NUMBER, "force": FORCE}),
    "reassign": (3, {"by": MANAGER, "to": OPERATOR, "number": NUMBER, "force": FORCE}),
    "resolve": (1, {"by": THEMSELVES, "number": NUMBER}),
    "deallocate": (2, {"by": MANAGER, "number": NUMBER}),
    "release": (4, {"by": THEMSELVES, "number": NUMBER}),
    "move": (2, {"by": MANAGER, "number": NUMBER, "inbox": INBOX}),
    "wear": (2, {"by": WHO, "number": NUMBER, "label": LABEL, "worn": st.sampled_from([True, True, False])}),
    "turn": (5, {"by": THEMSELVES, "who": OPERATOR, "status": STATUS}),
    "arrive": (6, {"arrival": ARRIVAL}),
    "hear": (1, {"number": NUMBER}),
    "pass_time": (2, {"duration": DURATION, "beat": st.booleans()}),
    "come_to": (5, {"number": NUMBER, "off": OFF, "beat": st.booleans()}),
    "employ": (3, {"who": OPERATOR, "capacity": LIMIT, "limits": LIMITS}),
    "tune": (3, {"wish": SETTINGS, "at_once": st.sampled_from([True, True, False])}),
    "rank_anew": (1, {}),
    "look": (3, {"by": WHO, "number": NUMBER}),
    "walk": (3, {"by": WHO, "sort": SORT, "filters": FILTERS, "limit": PAGE}),
    "count": (1, {"who": WHO}),
}
STEP = st.sampled_from([name for name, (weight, _) in STEPS.items() for _ in range(weight)]).flatmap(
    lambda name: st.tuples(st.just(name), st.fixed_dictionaries(STEPS[name][1]))
)
