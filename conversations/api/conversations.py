"""/conversations: lists, search, and every act of a conversation's life."""

from collections.abc import Callable
from typing import Any

from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from convalloc import clock, phones
from convalloc.api import versions
from convalloc.api.bodies import checked
from convalloc.api.envelope import listing, success
from convalloc.api.schema import Operation, Shape, documented
from convalloc.errors import DomainError, Missing
from conversations import allocation, lifecycle, queue, recalculation, standing
from conversations.api import bodies, shapes, wire
from conversations.api.events import TimelineEntry, TimelinePage, timeline_page
from conversations.api.filters import chosen
from conversations.api.pages import PageRequest, page
from conversations.errors import (
    AlreadyResolved,
    CapacityExceeded,
    HeldByAnother,
    NotAllocated,
    NotTheHolder,
    OperatorDisabled,
    OperatorNotAvailable,
    QueueBusy,
)
from conversations.lifecycle import Override
from conversations.models import Conversation
from conversations.priority import Weights
from conversations.walk import View
from operators import desk
from operators.api.doors import LongDoor, TenantDoor
from operators.errors import NotSubscribed, NotYourInbox
from tenants.errors import RankingRuns

ALLOCATED = "Conversation allocated successfully"
IDLE = (OperatorNotAvailable, OperatorDisabled, CapacityExceeded)
GONE = (NotYourInbox, NotTheHolder, AlreadyResolved)
UNCLAIMABLE = (HeldByAnother, AlreadyResolved, NotSubscribed, *IDLE)


def _act(body: Shape, message: str, *refuses: type[DomainError], **facts: Any) -> Callable[[Operation], Operation]:
    """What all acts on a conversation have in common: they answer with the conversation as it is now."""
    return documented(shapes.Conversation, body=body, message=message, refuses=(Missing, *refuses), **{"versioned": True, **facts})


class Conversations(TenantDoor):
    """Conversations of the caller's tenant."""

    basename = "conversation"

    @documented(shapes.ConversationPage, query=(shapes.ConversationFilters,), refuses=(NotYourInbox, Missing))
    def list(self, request: Request) -> Response:
        """Conversations that the caller may see: filtered, sorted, a page at a time."""
        wish = checked(PageRequest, request.query_params)
        filters = chosen(request)
        if "inbox_id" in filters:
            desk.visible_inbox(self.caller, filters["inbox_id"])
        found = page(View.of(self.caller, filters), wish, self._weights, clock.now())
        return success({"conversations": found.conversations, "next_cursor": found.next_cursor, "has_more": found.next_cursor is not None})

    @documented(shapes.Conversation, refuses=(NotYourInbox, Missing), versioned=True)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One conversation."""
        return self._answer(queue.find_visible(int(pk), self.caller))

    @documented(shapes.Priority, refuses=(NotYourInbox, Missing))
    @action(detail=True, methods=["get"])
    def priority(self, request: Request, pk: str) -> Response:
        """Why a conversation stands where it stands: the terms of its score, its exact place in the queue, and what is to come."""
        return success(standing.explain(int(pk), self.caller, self.caller.tenant))

    @documented(TimelineEntry, many=True, meta=shapes.PageMeta, query=(TimelinePage,), refuses=(NotYourInbox, Missing))
    @action(detail=True, methods=["get"])
    def timeline(self, request: Request, pk: str) -> Response:
        """What happened to a conversation, told to people: who, what, when and why; also of its grace periods. The newest last."""
        wish = checked(TimelinePage, request.query_params)
        entries, cursor = timeline_page(queue.find_visible(int(pk), self.caller).pk, wish)
        return listing(entries, next_cursor=cursor, has_more=cursor is not None)

    @documented(shapes.Conversation, method="POST", many=True, meta=shapes.PageMeta, body=bodies.PhoneSearch)
    @documented(shapes.Conversation, method="GET", many=True, meta=shapes.PageMeta, query=(bodies.PhoneSearch,))
    @action(detail=False, methods=["get", "post"])
    def search(self, request: Request) -> Response:
        """Conversations with a customer's phone number, newest first. By POST the number stays out of URLs and logs."""
        asked = checked(bodies.PhoneSearch, request.data if request.method == "POST" else request.query_params)
        view = View.of(self.caller, {"phone_number": phones.spellings(asked["phone_number"])})
        found = page(view, asked | {"sort": "newest"}, self._weights, clock.now())
        return listing(found.conversations, next_cursor=found.next_cursor, has_more=found.next_cursor is not None)

    @_act(bodies.Work, ALLOCATED, *IDLE, QueueBusy, nullable=True, or_many=True, versioned=False)
    @action(detail=False, methods=["post"])
    def allocate(self, request: Request) -> Response:
        """Give an operator the best waiting conversation of their inboxes; with `count` up to so many, best first, as a list."""
        body = checked(bodies.Work, request.data)
        operator_id, tenant = self.on_behalf_of(body["operator_id"]), self.caller.tenant
        given = allocation.allocate_many(operator_id, tenant, body.get("count", 1))
        rows = wire.several([conversation.pk for conversation in given], self._weights)
        message = ALLOCATED if len(rows) == 1 else f"{len(rows)} conversations allocated successfully"
        data = rows if "count" in body else next(iter(rows), None)
        return success(data, message=message if rows else "No conversations available for allocation")

    @_act(bodies.OperatorAndConversation, "Conversation claimed successfully", *UNCLAIMABLE)
    @action(detail=False, methods=["post"])
    def claim(self, request: Request) -> Response:
        """Take a waiting conversation of one's own choice."""
        body = checked(bodies.OperatorAndConversation, request.data)
        conversation = allocation.claim(self.on_behalf_of(body["operator_id"]), body["conversation_id"])
        return self._answer(conversation, "Conversation claimed successfully")

    @_act(bodies.Forcible, ALLOCATED, *UNCLAIMABLE)
    @action(detail=False, methods=["post"], url_path="manager-allocate")
    def manager_allocate(self, request: Request) -> Response:
        """Give a waiting conversation to an operator."""
        body = checked(bodies.Forcible, request.data)
        override = Override(body["force"], body["reason"])
        conversation = allocation.assign(body["operator_id"], body["conversation_id"], override=override)
        return self._answer(conversation, ALLOCATED)

    @_act(bodies.ForConversation, "Conversation resolved successfully", *GONE, shows=shapes.DONE)
    @action(detail=False, methods=["post"])
    def resolve(self, request: Request) -> Response:
        """The work is done."""
        body = checked(bodies.ForConversation, request.data)
        return self._answer(lifecycle.resolve(body["conversation_id"], by=self.caller), "Conversation resolved successfully")

    @_act(bodies.Release, "Conversation released successfully", *GONE, NotAllocated, shows=shapes.WAITING)
    @action(detail=False, methods=["post"])
    def release(self, request: Request) -> Response:
        """Give back what one holds; the queue does not hand it to the same operator again for a while, if anything else waits."""
        body = checked(bodies.Release, request.data)
        released = lifecycle.release(body["conversation_id"], by=self.caller, reason=body["reason"])
        return self._answer(released, "Conversation released successfully")

    @_act(bodies.ForConversation, "Conversation deallocated successfully", NotAllocated, AlreadyResolved, shows=shapes.WAITING)
    @action(detail=False, methods=["post"])
    def deallocate(self, request: Request) -> Response:
        """Back to the queue."""
        body = checked(bodies.ForConversation, request.data)
        return self._answer(lifecycle.deallocate(body["conversation_id"], by=self.caller), "Conversation deallocated successfully")

    @_act(bodies.Forcible, "Conversation reassigned successfully", NotAllocated, AlreadyResolved, NotSubscribed, *IDLE)
    @action(detail=False, methods=["post"])
    def reassign(self, request: Request) -> Response:
        """Another operator takes over."""
        body = checked(bodies.Forcible, request.data)
        override = Override(body["force"], body["reason"])
        conversation = lifecycle.reassign(body["conversation_id"], body["operator_id"], override=override)
        return self._answer(conversation, "Conversation reassigned successfully")

    @_act(bodies.ToInbox, "Conversation moved successfully", AlreadyResolved, meta=shapes.Moved, shows=shapes.WAITING)
    @action(detail=False, methods=["post"], url_path="move-inbox")
    def move_inbox(self, request: Request) -> Response:
        """Another inbox answers; labels that it lacks are dropped, and named."""
        body = checked(bodies.ToInbox, request.data)
        conversation, dropped = lifecycle.move(body["conversation_id"], body["inbox_id"], by=self.caller)
        lost = f"; labels dropped: {', '.join(dropped)}" if dropped else ""
        return self._answer(conversation, f"Conversation moved successfully{lost}", dropped_labels=dropped)

    @property
    def _weights(self) -> Weights:
        return Weights.of(self.caller.tenant)

    def _answer(self, conversation: Conversation, message: str | None = None, **meta: Any) -> Response:
        data = wire.one(conversation.pk, self._weights)
        return versions.shown(self.request, data, message=message, meta={"timestamp": clock.now(), **meta} if meta else None)


class Recalculation(LongDoor):
    """The manual recalculation of the queue's order."""

    basename = "recalculation"

    @documented(shapes.Recalculated, message="Updated priorities of 6 conversations", refuses=(RankingRuns,))
    @action(detail=False, methods=["post"], url_path="update-priorities")
    def update_priorities(self, request: Request) -> Response:
        """Compute rank and snapshot of every unresolved conversation anew, in short transactions; answers how many."""
        rows = recalculation.recalculate(self.caller.tenant_id)
        return success({"updated_count": rows}, message=f"Updated priorities of {rows} conversations")
