"""The list of conversations: what a manager reads off it, finds with it, and what it costs."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations import allocation, labelling
from conversations.admin.conversations import in_words
from tenants import isolation
from tests.conftest import Cast
from tests.console.conftest import ids

LIST = "/admin/conversations/conversation/"


def test_tells_state_score_waiting_holder_and_labels(cast: Cast, browse: Any) -> None:
    row = cast.conversation(message_count=50, minutes_ago=12 * 60 + 5)
    held = cast.conversation(inbox=cast.sales)
    label = cast.label(name="Urgent <b>", color="#FF0000")
    with isolation.act_as(cast.tenant.pk):
        labelling.attach(row.pk, label.pk)
        allocation.claim(cast.olga.pk, held.pk)

    page = browse(cast.mia).get(LIST).content.decode()

    facts = ["QUEUED", "ALLOCATED", "0.5021", "12 h 5 min", "Support", "Sales", "Olga", row.customer_phone_number]
    for said in (*facts, "Urgent &lt;b&gt;", "#FF0000"):
        assert said in page


def test_the_newest_message_stands_first(cast: Cast, browse: Any) -> None:
    old, new = cast.conversation(minutes_ago=90), cast.conversation(minutes_ago=1)

    shown = list(browse(cast.mia).get(LIST).context["cl"].result_list)

    assert [row.pk for row in shown] == [new.pk, old.pk]


def test_can_be_sorted_by_the_score_of_now(cast: Cast, browse: Any) -> None:
    low, high = cast.conversation(minutes_ago=1), cast.conversation(minutes_ago=900)

    shown = list(browse(cast.mia).get(f"{LIST}?o=-3").context["cl"].result_list)

    assert [row.pk for row in shown] == [high.pk, low.pk]


@pytest.mark.parametrize(
    "term", ["+19875550001", "19875550001", "0019875550001", "+1 987 555-0001", "(1) 987.555.0001", " +1987/555/0001 ", "ext-42", "#{id}"]
)
def test_finds_a_number_in_any_spelling_an_external_id_and_an_own_id(cast: Cast, browse: Any, term: str) -> None:
    wanted = cast.conversation(customer_phone_number="+19875550001", external_conversation_id="ext-42")
    cast.conversation()

    response = browse(cast.mia).get(LIST, {"q": term.format(id=wanted.pk)})

    assert ids(response) == {wanted.pk}


@pytest.mark.parametrize("term", ["nothing", "+1", "#", "#0", "#99999999999999999999", "'", "%", "٣٣٣", "9" * 500])
def test_finds_nothing_for_nonsense(cast: Cast, browse: Any, term: str) -> None:
    cast.conversation()

    response = browse(cast.mia).get(LIST, {"q": term})

    assert response.status_code == 200
    assert ids(response) == set()


def test_can_be_narrowed_by_state_inbox_and_holder(cast: Cast, browse: Any) -> None:
    waiting, held, elsewhere = cast.conversation(), cast.conversation(), cast.conversation(inbox=cast.sales)
    with isolation.act_as(cast.tenant.pk):
        allocation.claim(cast.olga.pk, held.pk)
    browser = browse(cast.mia)

    def narrowed(**by: Any) -> set[int]:
        return ids(browser.get(LIST, by))

    assert narrowed(state__exact="QUEUED") == {waiting.pk, elsewhere.pk}
    assert narrowed(inbox__id__exact=cast.sales.pk) == {elsewhere.pk}
    assert narrowed(assigned_operator__id__exact=cast.olga.pk) == {held.pk}


def test_costs_the_same_number_of_queries_however_long_it_is(cast: Cast, browse: Any) -> None:
    browser = browse(cast.mia)
    label = cast.label()

    def grow(rows: int) -> int:
        for _ in range(rows):
            row = cast.conversation()
            with isolation.act_as(cast.tenant.pk):
                labelling.attach(row.pk, label.pk)
                allocation.claim(cast.olga.pk, row.pk)
        with CaptureQueriesContext(connection) as queries:
            assert len(ids(browser.get(LIST))) == min(50, rows + grown)
        return len(queries)

    grown = 0
    short, grown = grow(3), 3
    long = grow(57)

    assert short == long


def test_never_counts_further_than_it_can_page(cast: Cast, browse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convalloc.console.ROWS_WORTH_COUNTING", 2)
    for _ in range(3):
        cast.conversation()
    browser = browse(cast.mia)

    with CaptureQueriesContext(connection) as queries:
        response = browser.get(LIST)

    counts = [query["sql"] for query in queries if "COUNT(*)" in query["sql"] and "FROM (SELECT" in query["sql"]]
    assert response.context["cl"].result_count == 2
    assert len(counts) == 1
    assert "LIMIT 2" in counts[0]


WORDS = {0.5: "under a minute", -10: "under a minute", 7: "7 min", 60: "1 h", 125: "2 h 5 min", 1440: "1 d", 3000: "2 d 2 h", 1445: "1 d"}


@pytest.mark.parametrize(("minutes", "words"), WORDS.items())
def test_puts_waiting_into_words(minutes: float, words: str) -> None:
    assert in_words(timedelta(minutes=minutes)) == words


def test_a_filter_that_no_text_can_equal_is_refused_with_a_page(cast: Cast, browse: Any) -> None:
    response = browse(cast.mia).get(f"{LIST}?state__exact=%00")

    assert response.status_code == 400
    assert "Nothing can be called that" in response.content.decode()
