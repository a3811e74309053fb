"""Signing in to the console (/admin/) with an operator's account, and acting as their tenant there."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import logout
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.sessions.backends.base import SessionBase
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from convalloc import clock, security
from convalloc.api.answers import CONSOLE
from convalloc.api.requests import address_of, current_request_id
from convalloc.limits import RateLimited
from operators import accounts, own_account, second_factor, sign_in_guard
from operators.api import trespass
from operators.errors import TotpRequired, WrongPassword, WrongTotp
from operators.models import Operator
from operators.sign_in_guard import SignInClosed
from tenants import eventlog, isolation

REFUSED: dict[type[Exception], tuple[int, str]] = {
    DataError: (400, "Nothing can be called that"),  # a filter with NUL, which Postgres refuses in text
    Http404: (404, "There is no such page"),
    PermissionDenied: (403, "Your role does not allow this"),
}


BEGAN, SEEN = "began", "seen"  # in a session: when, in seconds
NOTED_EVERY_SECONDS = 60


class ConsoleBackend(BaseBackend):
    """Email, password and perhaps a code. Nothing stays bound: the tenant is entered once it is settled who is signed in."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Operator | None:
        """The account whose password this is, be it closed or without rights: SignIn tells those apart. Raises TotpRequired, WrongTotp."""
        address = address_of(request) if request is not None else "the machine itself"
        code = request.POST.get("totp", "") if request is not None else ""
        with suppress(WrongPassword), sign_in_guard.one_try(username or "", address):
            account = accounts.prove(username or "", password or "")
            if account is None:
                raise WrongPassword
            with isolation.act_as(account.tenant_id), eventlog.acting(account.pk):
                second_factor.ask(account, code)
            return account
        return None

    def get_user(self, user_id: int) -> Operator | None:
        """The session's account; None once it is closed."""
        operator = accounts.find(user_id)
        return operator if operator is not None and operator.is_active else None


class SignIn(AuthenticationForm):
    """Who knows the password hears why they may not come in; who does not, hears always the same."""

    error_messages = {
        "invalid_login": "Email or password is wrong.",
        "closed": "This account is closed. An administrator of your organisation can open it again.",
        "no_console": "The console is for managers and administrators; your account is an operator's.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Email"
        self.fields["totp"] = own_account.Code(label="Code, if you have a second factor")

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Let managers and admins in, and act as their tenant from here on: the time of this sign-in is written next."""
        assert isinstance(user, Operator)
        if not user.is_active:
            raise ValidationError(self.error_messages["closed"], code="closed")
        if not user.is_staff:
            raise ValidationError(self.error_messages["no_console"], code="no_console")
        isolation.enter(user.tenant_id)
        security.tell("authn_login_success", operator_id=user.pk, tenant_id=user.tenant_id, door="console")
        assert self.request is not None
        self.request.session.update(dict.fromkeys((BEGAN, SEEN), clock.now().timestamp()))

    def clean(self) -> dict[str, Any]:
        """As Django's; who tries too often hears how long to wait."""
        try:
            return cast(dict[str, Any], super().clean())
        except (RateLimited, SignInClosed, TotpRequired, WrongTotp) as refusal:
            raise ValidationError(refusal.message, code=refusal.code) from refusal

    def get_invalid_login_error(self) -> ValidationError:
        """The same for an unknown email as for a wrong password."""
        return ValidationError(self.error_messages["invalid_login"], code="invalid_login")


class Console(UnfoldAdminSite):
    """The site: convalloc's own forms for signing in, for the password and for the second factor."""

    login_form = SignIn
    login_template = "console/sign_in.html"
    index_title = "Console"

    def extra_urls(self) -> list[URLPattern]:
        """Pages that belong to no model."""
        return [path("second-factor/", self.admin_view(self.second_factor), name="second_factor")]

    def second_factor(self, request: HttpRequest) -> HttpResponse:
        """Set up one's own second factor, or end it."""
        return own_account.second_factor_page(request, self.each_context(request))

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Change one's own password; the session goes on."""
        view = own_account.PasswordPage.as_view(extra_context={**self.each_context(request), **(extra_context or {})})
        return cast(HttpResponse, view(request))


def is_over(session: SessionBase) -> bool:
    """Whether a session has lasted, or lain idle, for too long. To be seen now is written once a minute."""
    now = clock.now().timestamp()
    began, seen = session.get(BEGAN, now), session.get(SEEN, now)
    if now - seen > settings.CONSOLE_IDLE_SECONDS or now - began > settings.SESSION_COOKIE_AGE:
        return True
    if BEGAN not in session or now - seen > NOTED_EVERY_SECONDS:
        session.update({BEGAN: began, SEEN: now})
    return False


class ActAsSignedIn:
    """Middleware: one transaction per console page with its session, as the tenant of whoever is signed in; an error page rolls back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(CONSOLE):
            return self.get_response(request)
        with isolation.transaction_without_tenant(), eventlog.caused_by(None, current_request_id()):
            response = self.get_response(request)
            user = getattr(request, "user", None)  # there is none where the session was not opened
            if response.status_code == 404 and isinstance(user, Operator):
                trespass.tell_of_page(user, request.resolver_match)
            if response.status_code == 403 and isinstance(user, Operator):
                who = {"operator_id": user.pk, "tenant_id": user.tenant_id}
                security.tell("authz_fail", code="console", **who, operation=getattr(request.resolver_match, "view_name", None))
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """The session is open now: it says who is signed in, unless it is over."""
        if not request.path_info.startswith(CONSOLE):
            return
        if request.user.is_authenticated and is_over(request.session):
            logout(request)
        if isinstance(request.user, Operator):
            eventlog.name_actor(request.user.pk)
            isolation.enter(request.user.tenant_id)

    def process_exception(self, request: HttpRequest, problem: Exception) -> HttpResponse | None:
        """People get a page to read where the API's clients get JSON."""
        refusal = next((told for kind, told in REFUSED.items() if isinstance(problem, kind)), None)
        if refusal is None or not request.path_info.startswith(CONSOLE):
            return None
        status, title = refusal
        context = {**admin.site.each_context(request), "title": title}
        return TemplateResponse(request, "console/refused.html", context, status=status)
