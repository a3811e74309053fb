"""The commands by which a deployment gets its first accounts, and gets back into one whose password is lost."""

import getpass
import io
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from operators import accounts
from operators.models import Operator, OperatorStatus, Role, Status
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID, Event, Tenant
from tests.conftest import Cast, assemble

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "a passable phrase"
NEW = "new@customer.example"
COMMANDS = {
    "create_tenant": ["Acme", "--admin", NEW],
    "createsuperuser": ["--email", NEW],
    "changepassword": ["known@customer.example"],
}
each = pytest.mark.parametrize("command", COMMANDS)


@pytest.fixture(autouse=True)
def _password_in_the_environment(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def known(cast: Cast) -> Operator:
    """An account that is there already."""
    operator: Operator = cast.operator(email="known@customer.example", role=Role.ADMIN)
    return operator


def run(command: str, *arguments: str) -> str:
    """What a command writes, its password taken from the environment."""
    output = io.StringIO()
    call_command(command, *arguments, "--noinput", stdout=output)
    return output.getvalue()


def account(email: str) -> Operator | None:
    """The account of an address, in whichever tenant."""
    return accounts.find_by_email(email)


def everything(cast: Cast) -> list[Any]:
    """What a refused command must leave as it was: all that the runtime role can see."""
    seen: list[Any] = [account(NEW)]
    for tenant_id in (PLATFORM_TENANT_ID, cast.tenant.pk):
        with isolation.act_as(tenant_id):
            seen += [list(model.objects.order_by("pk").values()) for model in (Operator, OperatorStatus, Event)]
    return seen


def test_a_new_tenant_has_an_admin_who_can_sign_in(db: None, client: Client) -> None:
    said = run("create_tenant", " Acme ", "--admin", "Ann@Customer.example", "--admin-name", "Ann")

    admin = account("ann@customer.example")
    assert admin is not None
    assert (admin.name, admin.role, admin.is_active, admin.tenant.name) == ("Ann", Role.ADMIN, True, "Acme")
    assert f"Tenant {admin.tenant_id} (Acme)" in said
    assert f"administrator {admin.pk} (ann@customer.example)" in said
    with isolation.act_as(admin.tenant_id):
        assert OperatorStatus.objects.get().status == Status.OFFLINE
        assert list(Event.objects.order_by("pk").values_list("kind", flat=True)) == ["tenant.created", "operator.created"]
    response = client.post("/admin/login/?next=/admin/", {"username": "ann@customer.example", "password": PASSWORD})
    assert response.status_code == 302
    assert client.get("/admin/").status_code == 200


def test_two_tenants_may_have_one_name(db: None) -> None:
    run("create_tenant", "Acme", "--admin", "one@customer.example")
    run("create_tenant", "Acme", "--admin", "two@customer.example")

    one, two = account("one@customer.example"), account("two@customer.example")

    assert one is not None
    assert two is not None
    assert one.tenant_id != two.tenant_id


def test_a_taken_address_founds_no_tenant(known: Operator, cast: Cast) -> None:
    before = everything(cast)
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_value FROM pg_sequences WHERE sequencename = 'tenants_id_seq'")
        (last,) = cursor.fetchone()

    with pytest.raises(CommandError, match=r"an account has it already\. Nothing was changed"):
        run("create_tenant", "Acme", "--admin", known.email.upper())

    assert everything(cast) == before
    with isolation.act_as(last + 1):  # the id that it would have had
        assert not Tenant.objects.exists()


def test_a_superuser_is_of_the_platform(db: None) -> None:
    said = run("createsuperuser", "--email", NEW)

    found = account(NEW)
    assert found is not None
    assert (found.tenant_id, found.role, found.check_password(PASSWORD)) == (PLATFORM_TENANT_ID, Role.ADMIN, True)
    assert f"Account {found.pk} of the platform" in said
    with isolation.act_as(PLATFORM_TENANT_ID):
        assert Event.objects.get(subject_id=found.pk).kind == "operator.created"


def test_a_superuser_s_address_may_not_be_taken(known: Operator, cast: Cast) -> None:
    before = everything(cast)

    with pytest.raises(CommandError, match="an account has it already"):
        run("createsuperuser", "--email", known.email)

    assert everything(cast) == before


def test_a_changed_password_is_the_one_that_counts(known: Operator) -> None:
    said = run("changepassword", known.email.upper())

    found = account(known.email)
    assert found is not None
    assert found.check_password(PASSWORD)
    assert f"account {known.pk} of tenant {known.tenant_id}" in said
    with isolation.act_as(known.tenant_id):
        assert Event.objects.filter(kind="operator.password_changed", subject_id=known.pk).count() == 1


def test_nobody_s_password_cannot_be_changed(cast: Cast) -> None:
    with pytest.raises(CommandError, match=r"There is no account 'nobody@customer\.example'"):
        run("changepassword", "nobody@customer.example")


@each
@pytest.mark.parametrize(
    ("password", "why"), [("short", "too short"), ("password", "too common"), ("", "is not set"), ("customer.example", "too similar")]
)
def test_a_bad_password_is_refused_and_changes_nothing(
    known: Operator, cast: Cast, monkeypatch: pytest.MonkeyPatch, command: str, password: str, why: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    before = everything(cast)

    with pytest.raises(CommandError, match=why):
        run(command, *COMMANDS[command])

    assert everything(cast) == before


@pytest.mark.parametrize("email", ["", "  ", "nobody", "a@b", "a\0@customer.example", "x" * 250 + "@customer.example"])
def test_an_address_that_is_none_is_refused(cast: Cast, email: str) -> None:
    before = everything(cast)

    with pytest.raises(CommandError, match="cannot be an account's address"):
        run("create_tenant", "Acme", "--admin", email)
    with pytest.raises(CommandError, match="cannot be an account's address"):
        run("createsuperuser", "--email", email)

    assert everything(cast) == before


@pytest.mark.parametrize("name", ["", "  "])
def test_a_tenant_needs_a_name(cast: Cast, name: str) -> None:
    with pytest.raises(CommandError, match="needs a name"):
        run("create_tenant", name, "--admin", NEW)

    assert account(NEW) is None


@each
def test_without_a_terminal_it_says_where_else_a_password_can_come_from(
    known: Operator, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PASSWORD}\n{PASSWORD}\n"))

    with pytest.raises(CommandError, match="set DJANGO_SUPERUSER_PASSWORD and say --noinput"):
        call_command(command, *COMMANDS[command])


@each
def test_a_password_is_asked_for_outside_every_transaction(committed: None, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    known = assemble().operator(email="known@customer.example")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    open_while_asking = []

    def answer(prompt: str) -> str:
        open_while_asking.append(connection.in_atomic_block)
        return PASSWORD

    monkeypatch.setattr(getpass, "getpass", answer)

    call_command(command, *COMMANDS[command], stdout=io.StringIO())

    assert open_while_asking == [False, False]
    found = account(known.email if command == "changepassword" else NEW)
    assert found is not None
    assert found.check_password(PASSWORD)


@each
@pytest.mark.parametrize("ends", [EOFError, KeyboardInterrupt])
def test_who_thinks_better_of_it_changes_nothing(
    known: Operator, cast: Cast, monkeypatch: pytest.MonkeyPatch, command: str, ends: type[BaseException]
) -> None:
    def leave(prompt: str) -> str:
        raise ends

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", leave)
    before = everything(cast)

    with pytest.raises(CommandError, match="Cancelled"):
        call_command(command, *COMMANDS[command])

    assert everything(cast) == before


def on_a_terminal(*arguments: str, typed: list[str]) -> tuple[int, str]:
    """Exit code of manage.py, and what it shows, when somebody types these lines at its prompts."""
    terminal, child_side = pty.openpty()
    # Without a controlling terminal getpass asks on standard input and output.
    child = subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, stdin=child_side, stdout=child_side, stderr=child_side, start_new_session=True
    )
    os.close(child_side)
    shown, asked, deadline = b"", 0, time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 0.2)[0]:
            continue
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the other side is closed: it has ended
            break
        if shown.endswith(b": ") and asked < len(typed):
            os.write(terminal, typed[asked].encode() + b"\n")
            asked += 1
    os.close(terminal)
    return child.wait(10), shown.decode()


def test_as_a_process_it_asks_twice_and_shows_no_password(committed: None) -> None:
    code, shown = on_a_terminal("create_tenant", "Acme", "--admin", NEW, typed=[PASSWORD, PASSWORD])

    assert code == 0, shown
    assert PASSWORD not in shown
    assert "Tenant " in shown
    assert account(NEW) is not None


def test_as_a_process_two_passwords_that_differ_make_no_account(committed: None) -> None:
    code, shown = on_a_terminal("createsuperuser", "--email", NEW, typed=[PASSWORD, "another phrase"])

    assert (code, "The two passwords differ." in shown, "Traceback" in shown) == (1, True, False)
    assert account(NEW) is None


def test_as_a_process_ours_stand_in_the_place_of_django_s(committed: None) -> None:
    assemble().operator(email="known@customer.example")

    for command in ("createsuperuser", "changepassword"):
        ended = subprocess.run(
            [sys.executable, "manage.py", command, *COMMANDS[command], "--noinput"], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, "")
