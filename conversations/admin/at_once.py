"""One act on many rows of a list: asked about first where it needs to know more, then done to each in a savepoint of its own."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.db import OperationalError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from convalloc.console import Page, refusal_of
from convalloc.errors import DomainError
from operators.models import Operator

MOST_AT_ONCE = 200  # rows of one act: all of them stay locked until its end
# A lock that did not come in time, or a circle of waiting: many rows in one transaction cannot keep the order of locks (0006).
BUSY = {"55P03", "40P01"}
PATIENCE = 3  # how many busy rows are waited for, 5 s each; then the rest is left

Act = Callable[[int], object]  # done to the row of this id; a sentence is added to "done", and nothing else is


class ActsAtOnce(Page):
    """A page with acts on many rows."""

    def has_direct_permission(self, request: HttpRequest) -> bool:
        """Whether the role may move work."""
        return request.user.has_perm("conversations.direct_conversation")


def manager(request: HttpRequest) -> Operator:
    """Whose word it is."""
    assert isinstance(request.user, Operator)
    return request.user


def to_each(request: HttpRequest, rows: QuerySet[Any], done: str, act: Act) -> None:
    """Do it to each row by ascending id, as rows are locked everywhere; one's refusal leaves the others done. Tells how it went."""
    chosen = list(rows.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1])
    if len(chosen) > MOST_AT_ONCE:
        many = f"{MOST_AT_ONCE} {rows.model._meta.verbose_name_plural}"
        messages.error(request, f"Nothing was done: at most {many} at once, because they stay locked until the end")
        return
    worked, busy, told = 0, 0, list[str]()
    for place, pk in enumerate(chosen):
        if busy == PATIENCE:
            told.append(f"{len(chosen) - place} more are left, because too many were busy")
            break
        try:
            with transaction.atomic():
                outcome = act(pk)
            note = outcome if isinstance(outcome, str) else ""
            worked += 1
        except DomainError as refusal:
            note = refusal_of(refusal)
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in BUSY:
                raise
            note, busy = "somebody else is changing it: try again", busy + 1
        if note:
            told.append(f"#{pk}: {note}")
    level = messages.SUCCESS if worked == len(chosen) else messages.WARNING if worked else messages.ERROR
    messages.add_message(request, level, "; ".join([f"{worked} {done}", *told]))


def ask(
    page: Page, request: HttpRequest, rows: QuerySet[Any], form: forms.Form, *, title: str, act: str, tell: Callable[[Any], str]
) -> HttpResponse:
    """The form, above what it is about: a line of `tell` for each row."""
    context = {
        **page.admin_site.each_context(request),
        "title": title,
        "opts": page.opts,
        "form": form,
        "rows": [(row.pk, tell(row)) for row in rows.order_by("pk")[: MOST_AT_ONCE + 1]],
        "act": act,
        "checkbox": helpers.ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "console/choose.html", context)
