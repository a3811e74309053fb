"""The console's page of the organisation's own settings."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from convalloc.console import Page
from conversations import silence
from operators import desk
from tenants import isolation, tuning
from tenants.models import Tenant


@admin.register(Tenant)
class TenantPage(Page):
    """The organisation's own settings; nobody else's can be seen."""

    list_display = ("name", "priority_alpha", "priority_beta", "message_cap", "delay_cap_minutes", "waiting_clock", "grace_period_minutes")
    readonly_fields = ("weights_version", "ranked_version", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "created_at")}),
        (
            "Who is next",
            {
                "description": (
                    "score = alpha * messages / message cap + beta * minutes waited / delay cap; neither share passes 1. "
                    "After a change the queue is ranked anew within a minute or two; until then old and new ranks mix."
                ),
                "fields": (
                    ("priority_alpha", "priority_beta"),
                    ("message_cap", "delay_cap_minutes"),
                    "waiting_clock",
                    ("weights_version", "ranked_version"),
                ),
            },
        ),
        (
            "Load",
            {
                "description": (
                    "How much one operator may hold (empty: no limit), and for how long the queue keeps from them what they gave back."
                ),
                "fields": (("operator_capacity", "cooldown_minutes"),),
            },
        ),
        (
            "Absence",
            {
                "description": (
                    "How long an offline operator keeps the work; and after how many seconds without a heartbeat of their client "
                    "an operator goes offline (empty: never). A change of the latter gives everybody a fresh lease. With less than "
                    f"{silence.SAFE_SECONDS} a short outage of ours may take some of them offline, too."
                ),
                "fields": (("grace_period_minutes", "lease_seconds"),),
            },
        ),
        (
            "Privacy",
            {
                "description": (
                    "After how many days a customer is forgotten whose conversation is resolved (empty: never by the clock). Their number "
                    "gives way to one that stands in, for good: nobody can bring it back."
                ),
                "fields": ("resolved_conversations_days",),
            },
        ),
        (
            "The event log",
            {
                "description": (
                    "After how many days events are forgotten (empty: never; a week at least). A conversation's events go together, "
                    "once it is resolved and the last of them is that old."
                ),
                "fields": ("events_kept_days",),
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """The bound tenant: row level security shows no other one anyway."""
        return super().get_queryset(request).filter(pk=isolation.current_tenant_id())

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        """Settings change through their room."""
        desk.tune(**{name: form.cleaned_data[name] for name in tuning.SETTINGS})
