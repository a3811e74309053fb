"""The console's pages of one's own account: the password, and the second factor."""

from typing import Any, cast

import segno
from django import forms
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse_lazy
from django.utils.safestring import SafeString, mark_safe
from unfold.forms import AdminOwnPasswordChangeForm
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from convalloc.api.requests import address_of
from convalloc.errors import DomainError
from convalloc.limits import RateLimited
from operators import accounts, second_factor, sign_in_guard, staff
from operators.errors import NoSecondFactor, SecondFactorRuns, WrongCredentials, WrongPassword
from operators.models import Operator
from operators.second_factor import Enrolment
from operators.sign_in_guard import SignInClosed


class OwnPassword(AdminOwnPasswordChangeForm):
    """A new password for oneself. Django's form would write every column of an account that somebody may have just closed."""

    def __init__(self, *args: Any, address: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.address = address

    def clean_old_password(self) -> str:
        """A wrong one counts as a try of signing in does: who finds a browser signed in cannot guess it here."""
        password: str = self.cleaned_data["old_password"]
        try:
            with sign_in_guard.one_try(self.user.email, self.address):
                accounts.confirm(self.user, password)
        except (WrongPassword, RateLimited, SignInClosed) as refusal:
            raise forms.ValidationError(refusal.message, code=refusal.code) from refusal
        return password

    def save(self, commit: bool = True) -> Any:
        """Through the room."""
        account: Operator = self.user
        account.password = staff.set_password(account.pk, self.cleaned_data["new_password1"]).password  # keeps this session
        return account


class PasswordPage(PasswordChangeView):
    """Where one's own password is changed; the session goes on."""

    form_class = OwnPassword
    success_url = reverse_lazy("admin:password_change_done")

    def get_form_kwargs(self) -> dict[str, Any]:
        """With the address that is tried from."""
        return {**super().get_form_kwargs(), "address": address_of(self.request)}


class Code(forms.CharField):
    """A code of a second factor, or a recovery code."""

    def __init__(self, **options: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"autocomplete": "one-time-code", "spellcheck": "false"})
        super().__init__(required=False, max_length=40, widget=widget, **options)


class Proof(forms.Form):
    """What a step of the second factor asks for: the first one the password, the others a code."""

    password = forms.CharField(label="Password", widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "current-password"}))
    code = Code(label="Code")


def second_factor_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Whether there is one, and the next step. What is shown once is in the answer to the step, which no cache keeps."""
    account = cast(Operator, request.user)
    told = _step(request, account) if request.method == "POST" else {}
    return TemplateResponse(
        request,
        "console/second_factor.html",
        {**context, "title": "Second factor", "form": Proof(), **told, "runs": second_factor.runs(account.pk)},
    )


def _step(request: HttpRequest, account: Operator) -> dict[str, Any]:
    """One step; a password or a code that is wrong counts as a try of signing in does."""
    act, code = request.POST.get("act"), request.POST.get("code", "")
    try:
        with sign_in_guard.one_try(account.email, address_of(request)):
            if act == "enrol":
                return _shown(second_factor.enrol(account, request.POST.get("password", "")))
            if act == "confirm":
                return {"recovery_codes": second_factor.confirm(account, code)}
            second_factor.disable(account, code)
            return {}
    except (WrongCredentials, RateLimited, SignInClosed, SecondFactorRuns, NoSecondFactor) as refusal:
        return {"refusal": cast(DomainError, refusal).message, "enrolling": act == "confirm"}


def _shown(enrolment: Enrolment) -> dict[str, Any]:
    return {"enrolling": True, "enrolment": enrolment, "picture": _picture(enrolment.address)}


def _picture(address: str) -> SafeString:
    """The address for a camera, as SVG of segno's own making: the address itself is not in it as text."""
    svg = segno.make(address, error="m").svg_inline(scale=4, border=2, light="#ffffff", dark="#000000")
    return mark_safe(svg)  # noqa: S308  # nosec B308 B703
