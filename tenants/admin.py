"""The console's page of inboxes. The organisation's own page, whose limits concern its operators, is on the highest floor."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from convalloc.console import Page
from tenants import inboxes
from tenants.models import Inbox


@admin.register(Inbox)
class InboxPage(Page):
    """Where customers write to."""

    list_display = ("name", "phone_number", "grace_period_minutes", "created_at")
    search_fields = ("name", "phone_number")
    fields = ("name", "phone_number", "grace_period_minutes")
    ordering = ("name", "pk")

    def save_model(self, request: HttpRequest, obj: Inbox, form: Any, change: bool) -> None:
        """Inboxes open and change through their room."""
        row = inboxes.change(obj.pk, **form.cleaned_data) if change else inboxes.open_inbox(**form.cleaned_data)
        obj.pk = row.pk
