"""What every page of the console (/admin/) is made of. A page shows, asks one room to change, and shows what the room refused."""

from typing import Any, NoReturn
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.contrib.admin import helpers
from django.core.paginator import Paginator
from django.db import IntegrityError, models, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from convalloc.api import answers
from convalloc.api.fields import is_id
from convalloc.errors import DomainError

ROWS_WORTH_COUNTING = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts 10,000 rows at most, because a count reads every row it counts. What lies beyond is found by search or filter."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or the bound."""
        rows: Any = self.object_list
        return int(rows.order_by()[:ROWS_WORTH_COUNTING].count())


class RoomForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that leaves to the room, and to the database behind it, what is more than one field's affair.

    Django's own checks would answer with the names of constraints, and tell a row of this tenant from another's.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.instance.validate_constraints = lambda exclude=None: None  # a form has no switch for it

    def validate_unique(self) -> None:
        """The room's affair."""


class Page(ModelAdmin):
    """A page over one table of the signed-in tenant. Who may do what is asked of operators.rights.

    It writes nothing by itself: a page that can change something overrides `save_model` and `delete_model` with a room.
    """

    form = RoomForm
    paginator = BoundedPaginator
    show_full_result_count = False
    list_per_page = list_max_show_all = 50
    list_filter_submit = True
    formfield_overrides = {models.TextField: {"widget": UnfoldAdminTextInputWidget}}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A refusal rolls back and comes back as an error of the form, with everything that was typed."""
        try:
            with transaction.atomic():
                return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]
        except (DomainError, IntegrityError) as problem:
            request.refusal = refusal_of(problem)  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)  # type: ignore[no-any-return]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """What was chosen must be ids: Django would ask the database for whatever a form of somebody's own names."""
        chosen = request.POST.getlist(helpers.ACTION_CHECKBOX_NAME)
        if not all(is_id(text) for text in chosen):
            self.message_user(request, "Nothing was done: what was chosen is no row of this list", messages.ERROR)
            return redirect(request.get_full_path())
        return super().changelist_view(request, extra_context)  # type: ignore[no-any-return]

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row. Raises Http404: Django would send the browser elsewhere, with a word that nothing is there."""
        row = super().get_object(request, object_id, from_field)
        if row is None:
            raise Http404(f"{self.opts.verbose_name} {object_id}")
        return row

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> "type[forms.ModelForm[Any]]":
        """The form; in its second round, with the room's refusal among its errors."""
        form: type[forms.ModelForm[Any]] = super().get_form(request, obj, change, **kwargs)
        refusal = getattr(request, "refusal", None)
        return type(form.__name__, (Refused, form), {"refusal": refusal}) if refusal else form

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The event log is the history, whichever door a change came through."""
        return redirect(timeline(self.opts.model_name or "", object_id))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """No room, no write."""
        self._no_room()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """No room, no write."""
        self._no_room()

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Several at once are several times one."""
        for row in queryset:
            self.delete_model(request, row)

    def _no_room(self) -> NoReturn:
        raise NotImplementedError(f"{type(self).__name__} has no room to write through: override save_model or delete_model.")


def timeline(subject_type: str, subject_id: object) -> str:
    """Address of the events of one thing."""
    return f"{reverse('admin:tenants_event_changelist')}?{urlencode({'q': f'{subject_type} {subject_id}'})}"


class Refused:
    """Put before a form's class: whatever was typed, it is not valid, because a room has refused it."""

    refusal = ""

    def clean(self) -> Any:
        cleaned = super().clean()  # type: ignore[misc]
        self.add_error(None, self.refusal)  # type: ignore[attr-defined]
        return cleaned


def refusal_of(problem: DomainError | IntegrityError) -> str:
    """A refusal in one sentence for a person. A constraint that only a bug can violate stays an exception."""
    refusal = answers.translate(problem) if isinstance(problem, IntegrityError) else problem
    if refusal is None:
        raise problem
    return "; ".join(refusal.fields.values()) or refusal.message
