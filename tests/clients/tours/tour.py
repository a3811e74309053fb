"""The README's tour by a client that openapi-python-client made of docs/openapi.json. Prints a line for each step."""

import sys
from typing import TypeVar

from convalloc_client import AuthenticatedClient, Client
from convalloc_client.api.auth import token
from convalloc_client.api.conversations import (
    conversation_allocate,
    conversation_claim,
    conversation_list,
    conversation_resolve,
    conversation_retrieve,
)
from convalloc_client.api.labels import label_attach, label_list
from convalloc_client.api.me import me_retrieve
from convalloc_client.api.operators import operator_change_status, operator_stats
from convalloc_client.models import (
    Conversation,
    ConversationListState,
    Credentials,
    Error,
    ForConversation,
    LabelOnConversation,
    NewStatus,
    OperatorAndConversation,
    OperatorStatusName,
    Work,
)

Answer = TypeVar("Answer")
BASE_URL, PASSWORD = sys.argv[1:]


def told(answer: Answer | Error | None) -> Answer:
    """The answer, which is no refusal."""
    assert answer is not None
    assert not isinstance(answer, Error), answer
    return answer


def signed_in(email: str) -> tuple[AuthenticatedClient, int]:
    """A client of somebody's, and their id."""
    tokens = told(token.sync(client=Client(BASE_URL), body=Credentials(email, PASSWORD))).data
    client = AuthenticatedClient(BASE_URL, tokens.access_token)
    return client, told(me_retrieve.sync(client=client)).data.id


one, one_id = signed_in("operator1@example.com")
two, two_id = signed_in("operator2@example.com")
manager, _ = signed_in("manager@example.com")

page = told(conversation_list.sync(client=one, state=ConversationListState.QUEUED, limit=2)).data
print("waiting:", *[waiting.external_conversation_id for waiting in page.conversations])

given = told(conversation_allocate.sync(client=one, body=Work(operator_id=one_id))).data
assert isinstance(given, Conversation)
print("allocated:", given.external_conversation_id, given.state.value)

wish = OperatorAndConversation(operator_id=two_id, conversation_id=given.id)
taken = conversation_claim.sync_detailed(client=two, body=wish)
assert isinstance(taken.parsed, Error)
print("refused:", taken.status_code.value, taken.parsed.code)

label = told(label_list.sync(client=one, inbox_id=given.inbox_id)).data[0]
label_attach.sync(client=one, body=LabelOnConversation(conversation_id=given.id, label_id=label.id))
worn = told(conversation_retrieve.sync(given.id, client=one)).data
print("labelled:", str(label.id in [each.id for each in worn.labels]).lower())

away = told(operator_change_status.sync(two_id, client=two, body=NewStatus(status=OperatorStatusName.OFFLINE))).data
print("status:", away.status.status.value)

resolved = told(conversation_resolve.sync(client=one, body=ForConversation(conversation_id=given.id))).data
print("resolved:", resolved.state.value, str(resolved.assigned_operator_id).replace("None", "null"))

stats = told(operator_stats.sync(one_id, client=manager)).data
print("resolved today:", stats.resolved_today)
