"""The console's page of labels: the vocabulary of each inbox."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.template.defaultfilters import pluralize
from django.utils.html import format_html
from unfold.contrib.filters.admin import RelatedDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminColorInputWidget

from convalloc.console import Page, RoomForm
from conversations import labelling
from conversations.models import ConversationLabel
from labels import catalogue
from labels.models import Label


class LabelForm(RoomForm):
    """A word and its colour."""

    color = forms.RegexField(
        r"\A#[0-9A-Fa-f]{6}\Z", initial="#336699", widget=UnfoldAdminColorInputWidget, error_messages={"invalid": "A colour is #RRGGBB"}
    )


@admin.register(Label)
class LabelPage(Page):
    """Words of the inboxes. Retiring one takes it off every conversation that wears it."""

    form = LabelForm
    list_display = ("name", "inbox", "colour", "created_by", "created_at")
    list_filter = (("inbox", RelatedDropdownFilter),)
    list_select_related = ("inbox", "created_by")
    search_fields = ("name",)
    ordering = ("inbox__name", "name", "pk")
    fields = ("inbox", "name", "color")

    def get_readonly_fields(self, request: HttpRequest, obj: Label | None = None) -> tuple[str, ...]:
        """A label stays at its inbox."""
        return ("inbox",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Label, form: Any, change: bool) -> None:
        """Words are added and changed through the catalogue."""
        data = form.cleaned_data
        if change:
            catalogue.change(obj.pk, name=data["name"], color=data["color"])
        else:
            obj.pk = catalogue.add(data["inbox"], data["name"], data["color"], created_by=request.user).pk  # type: ignore[arg-type]

    def delete_model(self, request: HttpRequest, obj: Label) -> None:
        """Off everything that wears it, then out of the catalogue."""
        labelling.retire(obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """What the confirmation names: the labels, and how many conversations lose them. Nothing stands in the way."""
        labels = list(objs)
        worn = {label.pk: ConversationLabel.objects.filter(label_id=label.pk).count() for label in labels}
        told = [f"{label} of {label.inbox}, worn by {worn[label.pk]} conversation{pluralize(worn[label.pk])}" for label in labels]
        return told, {"labels": len(labels), "conversations that wear them": sum(worn.values())}, set(), []

    @display(description="Colour")
    def colour(self, row: Label) -> Any:
        """The colour, seen."""
        return swatch(row.color)


def swatch(color: str) -> Any:
    """A dot of a colour, and its code."""
    return format_html('<span style="color: {}">●</span> {}', color, color)
