"""Three hundred random queues: the place that is told is the place that exact rationals say, at that instant."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from convalloc import clock
from conversations import standing
from conversations.models import Conversation
from tests.conftest import Cast
from tests.conversations.test_queue import ORDERED, Recipe, expected, filled, recipes


@ORDERED
@given(recipe=recipes(), flagged_days_ago=st.sampled_from([0, 2, 365]))
def test_the_place_is_the_number_of_those_who_come_before(cast: Cast, recipe: Recipe, flagged_days_ago: int) -> None:
    at = clock.now()

    with filled(cast, recipe, at, flagged_until=at - timedelta(days=flagged_days_ago)) as tenant:
        caller, order = getattr(cast, recipe.caller), expected(cast, recipe, at)
        inbox_of = dict(Conversation.objects.values_list("pk", "inbox_id"))
        for place, pk in enumerate(order, start=1):
            of_inbox = [other for other in order if inbox_of[other] == inbox_of[pk]]

            told = standing.explain(pk, caller, tenant, at)

            assert told["rank"] == {
                "position_in_inbox": of_inbox.index(pk) + 1,
                "waiting_in_inbox": len(of_inbox),
                "position_for_caller": place,
                "waiting_for_caller": len(order),
            }
            row = Conversation.objects.get(pk=pk)
            formula = recipe.formula.score(row.message_count, row.waits_from, at)
            assert abs(told["score"] - float(formula)) < 2e-6 + float(recipe.formula.a_microsecond)
            assert abs(told["alpha_term"] + told["beta_term"] - told["score"]) < 1e-6
