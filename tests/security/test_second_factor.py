"""The second factor: set up, confirmed, asked for at both doors, and each code serving once."""

import re
import threading
from contextlib import suppress
from datetime import datetime
from ipaddress import IPv4Address
from random import getrandbits
from typing import Any

import pyotp
import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from convalloc import clock, vault
from operators import second_factor, staff
from operators.errors import NoSecondFactor, SecondFactorRuns, WrongTotp
from operators.models import Operator, TotpDevice
from tenants import eventlog, isolation
from tenants.models import Event
from tests.conftest import Answer, Api, Cast, assemble
from tests.contract import witness
from tests.races.crowd import together

PASSWORD = "correct horse battery"
REQUIRED = witness.refusal(401, "totp_required", "This account has a second factor: send its code along")
WRONG = witness.refusal(401, "totp_wrong", "The code is wrong, or it has been used already: wait for the next one")


class Authenticator:
    """Mia's telephone: its clock is the one by which codes are checked, and can be moved on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.totp = pyotp.TOTP(pyotp.random_base32())
        self.seconds = 0
        now = clock.now

        class Later:
            @staticmethod
            def now() -> datetime:
                return datetime.fromtimestamp(now().timestamp() + self.seconds, tz=now().tzinfo)

        monkeypatch.setattr(second_factor, "clock", Later)
        self.now = Later.now

    def code(self, steps: int = 0) -> str:
        """What it shows now, or so many half minutes later."""
        return self.totp.generate_otp(int(self.now().timestamp()) // 30 + steps)

    def enrol(self, operator: Operator) -> list[str]:
        """Set up and confirm; the recovery codes. The next code is half a minute away."""
        with isolation.act_as(operator.tenant_id), eventlog.acting(operator.pk):
            self.totp = pyotp.TOTP(second_factor.enrol(operator, PASSWORD).secret)
            codes = second_factor.confirm(operator, self.code())
        self.seconds += 30
        return codes


@pytest.fixture
def telephone(db: None, monkeypatch: pytest.MonkeyPatch) -> Authenticator:
    return Authenticator(monkeypatch)


@pytest.fixture
def mia(cast: Cast) -> Operator:
    """Mia, who knows her password."""
    with isolation.act_as(cast.tenant.pk):
        return staff.set_password(cast.mia.pk, PASSWORD)


def sign_in(api: type[Api], who: Operator, password: str = PASSWORD, **more: str) -> Answer:
    return api(None).post("/auth/token", email=who.email, password=password, **more)


def at_the_console(who: Operator, totp: str = "", password: str = PASSWORD) -> Any:
    return Client().post("/admin/login/?next=/admin/", {"username": who.email, "password": password, "totp": totp})


def kinds(cast: Cast) -> list[str]:
    with isolation.act_as(cast.tenant.pk):
        return list(Event.objects.filter(kind__contains="factor").order_by("id").values_list("kind", flat=True))


# --- at the API -----------------------------------------------------------------------------------


def test_an_account_without_one_signs_in_by_its_password_alone(api: type[Api], mia: Operator) -> None:
    assert sign_in(api, mia).status == 200


def test_the_password_alone_is_not_enough(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)

    answers = [sign_in(api, mia), sign_in(api, mia, totp=""), sign_in(api, mia, totp="  ")]

    assert [witness.said(answer) for answer in answers] == [REQUIRED] * 3


def test_the_code_lets_in_however_it_is_typed(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    code = telephone.code()

    answer = sign_in(api, mia, totp=f" {code[:3]} {code[3:]} ")

    assert answer.status == 200


def test_a_code_serves_once(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    code = telephone.code()

    answers = [sign_in(api, mia, totp=code), sign_in(api, mia, totp=code)]

    assert answers[0].status == 200
    assert witness.said(answers[1]) == WRONG


def test_the_code_that_confirmed_it_lets_nobody_in(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)

    answer = sign_in(api, mia, totp=telephone.code(steps=-1))

    assert witness.said(answer) == WRONG


def test_after_a_code_those_before_it_serve_no_more(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    telephone.seconds += 60

    answers = [sign_in(api, mia, totp=telephone.code(steps=steps)) for steps in (1, 0)]

    assert [answer.status for answer in answers] == [200, 401]


@pytest.mark.parametrize(("steps", "status"), [(-2, 401), (-1, 200), (0, 200), (1, 200), (2, 401)])
def test_clocks_may_differ_by_half_a_minute(api: type[Api], mia: Operator, telephone: Authenticator, steps: int, status: int) -> None:
    telephone.enrol(mia)
    telephone.seconds += 300

    answer = sign_in(api, mia, totp=telephone.code(steps))

    assert answer.status == status


@pytest.mark.parametrize("code", ["000000", "abc", "0" * 40, "\N{ARABIC-INDIC DIGIT FIVE}" * 6, "💣"])
def test_nonsense_is_a_wrong_code(api: type[Api], mia: Operator, telephone: Authenticator, code: str) -> None:
    telephone.enrol(mia)
    telephone.seconds += 30

    answer = sign_in(api, mia, totp=code)

    assert witness.said(answer) == WRONG


def test_who_does_not_know_the_password_hears_nothing_of_the_code(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    code = telephone.code()

    answers = [sign_in(api, mia, "wrong"), sign_in(api, mia, "wrong", totp=code)]

    assert {answer.body["code"] for answer in answers} == {"wrong_credentials"}
    assert sign_in(api, mia, totp=code).status == 200  # it was not used up


def test_guessing_codes_ends_as_guessing_passwords_does(mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    guesser = Api(None)

    answers = [guesser.post("/auth/token", email=mia.email, password=PASSWORD, totp="000000") for _ in range(6)]

    assert [answer.status for answer in answers] == [401] * 5 + [429]


def test_a_recovery_code_lets_in_once(cast: Cast, api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    codes = telephone.enrol(mia)

    answers = [sign_in(api, mia, totp=code) for code in (codes[3].upper(), codes[3], codes[4])]

    assert [answer.status for answer in answers] == [200, 401, 200]
    with isolation.act_as(cast.tenant.pk):
        used = Event.objects.filter(kind="operator.recovery_code_used").order_by("id")
        assert [(event.subject_id, event.after) for event in used] == [(mia.pk, {"left": 9}), (mia.pk, {"left": 8})]


def both_show_the_same_code(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Who comes in of two, each of whom waits a moment for the other once its row is read."""
    cast = assemble()
    with isolation.act_as(cast.tenant.pk):
        mia = staff.set_password(cast.mia.pk, PASSWORD)
        totp = pyotp.TOTP(second_factor.enrol(mia, PASSWORD).secret)
        step = int(clock.now().timestamp()) // 30
        second_factor.confirm(cast.mia, totp.generate_otp(step))
    meeting, open_ = threading.Barrier(2), vault.open_

    def meet(sealed: str) -> bytes:
        with suppress(threading.BrokenBarrierError):
            meeting.wait(1)
        return open_(sealed)

    def show() -> bool:
        with isolation.act_as(cast.tenant.pk):
            try:
                second_factor.ask(cast.mia, totp.generate_otp(step + 1))
            except WrongTotp:
                return False
        return True

    monkeypatch.setattr(vault, "open_", meet)
    return sorted(together([show, show]))


def test_of_two_who_show_the_same_code_at_the_same_instant_one_comes_in(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both_show_the_same_code(monkeypatch) == [False, True]


def test_without_the_lock_both_would(committed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    monkeypatch.setattr(second_factor, "_lock", lambda operator_id: TotpDevice.objects.filter(operator_id=operator_id).first())

    assert both_show_the_same_code(monkeypatch) == [True, True]


# --- at the console -------------------------------------------------------------------------------


def test_the_console_asks_for_it_too(mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)
    code = telephone.code()

    without, wrong, right, again = (at_the_console(mia, totp) for totp in ("", "000000", code, code))

    assert "This account has a second factor" in without.content.decode()
    assert "The code is wrong" in wrong.content.decode()
    assert "The code is wrong" in again.content.decode()
    assert [response.status_code for response in (without, wrong, right, again)] == [200, 200, 302, 200]


def test_the_sign_in_page_has_a_field_for_the_code(db: None) -> None:
    page = Client().get("/admin/login/").content.decode()

    assert re.search(r'<input[^>]*name="totp"[^>]*autocomplete="one-time-code"', page)


def test_a_manager_sets_it_up_and_turns_it_off_in_the_console(cast: Cast, mia: Operator, telephone: Authenticator) -> None:
    browser = Client()
    browser.post("/admin/login/?next=/admin/", {"username": mia.email, "password": PASSWORD})

    def step(act: str, code: str = "", password: str = "") -> str:
        return str(browser.post("/admin/second-factor/", {"act": act, "code": code, "password": password}).content.decode())

    assert "Set it up" in browser.get("/admin/second-factor/").content.decode()
    shown = step("enrol", password=PASSWORD)
    (secret,) = re.findall(r">([A-Z2-7]{32})<", shown)
    assert "<svg" in shown
    telephone.totp = pyotp.TOTP(secret)
    wrong = step("confirm", "000000")
    assert "The code is wrong" in wrong
    assert "Turn it on" in wrong
    assert secret not in wrong
    assert secret in step("enrol", password=PASSWORD)  # the same, to try again
    assert sign_in(Api, mia).status == 200  # it is not asked for before it is confirmed

    codes = re.findall(r"<li>([0-9a-f]{28})</li>", step("confirm", telephone.code()))
    assert len(set(codes)) == 10
    assert sign_in(Api, mia).body["code"] == "totp_required"
    assert secret not in step("enrol", password=PASSWORD)

    assert "The code is wrong" in step("disable", "000000")
    assert "Set it up" in step("disable", codes[0])
    assert sign_in(Api, mia).status == 200
    assert kinds(cast) == ["operator.second_factor_began", "operator.second_factor_ended"]


@pytest.mark.parametrize("password", ["", "wrong", "\0"])
def test_who_finds_a_browser_signed_in_cannot_set_one_up_without_the_password(cast: Cast, mia: Operator, password: str) -> None:
    browser = Client()
    browser.post("/admin/login/?next=/admin/", {"username": mia.email, "password": PASSWORD})

    page = browser.post("/admin/second-factor/", {"act": "enrol", "password": password}).content.decode()

    assert "The password is wrong" in page
    assert "<svg" not in page
    with isolation.act_as(cast.tenant.pk):
        assert not TotpDevice.objects.exists()


def test_guessing_the_password_there_ends_as_guessing_it_at_the_door_does(mia: Operator) -> None:
    browser = Client(REMOTE_ADDR=str(IPv4Address(0x0B00_0000 | getrandbits(24))))
    browser.post("/admin/login/?next=/admin/", {"username": mia.email, "password": PASSWORD})

    for _ in range(5):
        browser.post("/admin/second-factor/", {"act": "enrol", "password": "wrong"})
    page = browser.post("/admin/second-factor/", {"act": "enrol", "password": PASSWORD}).content.decode()

    assert "Too many requests" in page


def test_guessing_it_at_the_page_of_a_new_password_ends_so_too(mia: Operator) -> None:
    browser = Client(REMOTE_ADDR=str(IPv4Address(0x0B00_0000 | getrandbits(24))))
    browser.post("/admin/login/?next=/admin/", {"username": mia.email, "password": PASSWORD})

    def change(old: str) -> Any:
        return browser.post(
            "/admin/password_change/", {"old_password": old, "new_password1": "quite another", "new_password2": "quite another"}
        )

    wrong = [change("wrong").content.decode() for _ in range(5)]
    right = change(PASSWORD)

    assert all("The password is wrong" in page for page in wrong)
    assert right.status_code == 200
    assert "Too many requests" in right.content.decode()


def test_nobody_sets_one_up_without_being_signed_in(db: None) -> None:
    response = Client().post("/admin/second-factor/", {"act": "enrol"})

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


# --- what is kept, and the way out ----------------------------------------------------------------


def test_the_database_holds_nothing_that_opens_anything(cast: Cast, mia: Operator, telephone: Authenticator) -> None:
    codes = telephone.enrol(mia)

    with isolation.act_as(cast.tenant.pk):
        kept = str([*TotpDevice.objects.values(), *Event.objects.values()])

    assert telephone.totp.secret not in kept
    assert not any(code in kept for code in codes)


def test_a_secret_that_cannot_be_opened_leaves_the_recovery_codes(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    codes = telephone.enrol(mia)
    with isolation.act_as(mia.tenant_id):
        TotpDevice.objects.update(secret=vault.seal(b"x")[:-4] + "AAAA")

    answers = [sign_in(api, mia, totp=telephone.code()), sign_in(api, mia, totp=codes[0])]

    assert [answer.status for answer in answers] == [401, 200]


def test_each_step_has_its_time(mia: Operator, telephone: Authenticator) -> None:
    with isolation.act_as(mia.tenant_id):
        with pytest.raises(NoSecondFactor):
            second_factor.confirm(mia, "000000")
        with pytest.raises(NoSecondFactor):
            second_factor.disable(mia, "000000")
    codes = telephone.enrol(mia)
    with isolation.act_as(mia.tenant_id):
        with pytest.raises(SecondFactorRuns):
            second_factor.enrol(mia, PASSWORD)
        with pytest.raises(SecondFactorRuns):
            second_factor.confirm(mia, codes[0])


def test_a_neighbours_second_factor_is_no_affair_of_ours(neighbours: Cast, api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    with isolation.act_as(neighbours.tenant.pk):
        telephone.enrol(staff.set_password(neighbours.mia.pk, PASSWORD))

    assert sign_in(api, mia).status == 200


def test_who_has_lost_everything_is_let_in_by_command(cast: Cast, api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)

    call_command("forget_second_factor", mia.email.upper())

    assert sign_in(api, mia).status == 200
    assert kinds(cast) == ["operator.second_factor_began", "operator.second_factor_ended"]


def test_another_password_leaves_it(api: type[Api], mia: Operator, telephone: Authenticator) -> None:
    telephone.enrol(mia)

    with isolation.act_as(mia.tenant_id):
        staff.set_password(mia.pk, f"another {PASSWORD}")

    assert witness.said(sign_in(api, mia, f"another {PASSWORD}")) == REQUIRED


def test_the_command_tells_an_account_that_is_none(db: None) -> None:
    with pytest.raises(CommandError, match="There is no account"):
        call_command("forget_second_factor", "nobody@nowhere.example")
