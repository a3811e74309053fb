"""Signing in to the console (/admin/) with an operator's account, and acting as their tenant there."""

from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DataError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.sites import UnfoldAdminSite

from convalloc.api.answers import CONSOLE
from convalloc.api.requests import current_request_id
from operators import staff
from operators.models import Operator
from tenants import eventlog, isolation

REFUSED: dict[type[Exception], tuple[int, str]] = {
    DataError: (400, "Nothing can be called that"),  # a filter with NUL, which Postgres refuses in text
    Http404: (404, "There is no such page"),
    PermissionDenied: (403, "Your role does not allow this"),
}


class ConsoleBackend(BaseBackend):
    """Email and password. Nothing stays bound: the tenant is entered once it is settled who is signed in."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: Any
    ) -> Operator | None:
        """The account whose password this is, be it closed or without rights: SignIn tells those apart."""
        operator = find_by_email(username or "")
        if operator is None:
            Operator().set_password(password)  # as much work as for an account that exists: the clock tells nothing
            return None
        with isolation.act_as(operator.tenant_id):  # an outdated hash is renewed
            return operator if operator.check_password(password or "") else None

    def get_user(self, user_id: int) -> Operator | None:
        """The session's account; None once it is closed."""
        operator = find(user_id)
        return operator if operator is not None and operator.is_active else None


def find(operator_id: int) -> Operator | None:
    """An account of any tenant, with its tenant, found by a narrow function of the database; nothing stays bound."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tenant_of_operator(%s)", [operator_id])
        (tenant_id,) = cursor.fetchone()
    if tenant_id is None:
        return None
    with isolation.act_as(tenant_id):
        operator: Operator | None = Operator.objects.select_related("tenant").filter(pk=operator_id).first()
    return operator


def find_by_email(email: str) -> Operator | None:
    """The account of an address, however it is written, of any tenant; nothing stays bound."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT operator_of_email(%s)", [email.strip().lower().replace("\0", "")])
        (operator_id,) = cursor.fetchone()
    return find(operator_id) if operator_id is not None else None


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

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """Let managers and admins in, and act as their tenant from here on: the time of this sign-in is written next."""
        assert isinstance(user, Operator)
        if not user.is_active:
            raise ValidationError(self.error_messages["closed"], code="closed")
        if not user.is_staff:
            raise ValidationError(self.error_messages["no_console"], code="no_console")
        isolation.enter(user.tenant_id)

    def get_invalid_login_error(self) -> ValidationError:
        """The same for an unknown email as for a wrong password."""
        return ValidationError(self.error_messages["invalid_login"], code="invalid_login")


class OwnPassword(AdminOwnPasswordChangeForm):
    """A new password for oneself. Django's form would write every column of an account that somebody may have just closed."""

    def save(self, commit: bool = True) -> Any:
        """Through the room."""
        account: Operator = self.user
        account.password = staff.set_password(account.pk, self.cleaned_data["new_password1"]).password  # keeps this session
        return account


class Console(UnfoldAdminSite):
    """The site: convalloc's own forms for signing in and for the password."""

    login_form = SignIn
    index_title = "Console"

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Change one's own password; the session goes on."""
        view = PasswordChangeView.as_view(
            form_class=OwnPassword,
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return cast(HttpResponse, view(request))


class ActAsSignedIn:
    """Middleware: one transaction per console page with its session, as the tenant of whoever is signed in; an error page rolls back."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(CONSOLE):
            return self.get_response(request)
        with isolation.transaction_without_tenant(), eventlog.caused_by(None, current_request_id()):
            response = self.get_response(request)
            if response.status_code >= 400:
                transaction.set_rollback(True)
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """The session is open now: it says who is signed in."""
        if request.path_info.startswith(CONSOLE) and isinstance(request.user, Operator):
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
