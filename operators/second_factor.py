"""A second factor: what shows a new code every 30 seconds, asked for beside the password. Everybody's own affair, and optional.

A code is good for its own half minute and the neighbouring ones, because clocks differ, and serves once; so do ten recovery
codes, of which hashes are kept. The secret is sealed (convalloc.vault). Sources: RFC 6238; NIST SP 800-63B, 5.1.4 and 5.1.2.
"""

import hashlib
import hmac
import logging
import secrets
from typing import NamedTuple

import pyotp

from convalloc import clock, security, vault
from operators import accounts, presence
from operators.errors import NoSecondFactor, SecondFactorRuns, TotpRequired, WrongTotp
from operators.models import Operator, TotpDevice
from tenants import eventlog

log = logging.getLogger(__name__)

STEP_SECONDS = 30
NEIGHBOURS = (-1, 0, 1)
RECOVERY_CODES, RECOVERY_BYTES = 10, 14  # 112 bits, for which a plain hash is enough (ASVS 5.0, 6.5.2)
ISSUER = "convalloc"


class Enrolment(NamedTuple):
    """What an authenticator is told, once: by hand, or by a picture of the address."""

    secret: str
    address: str


def enrol(operator: Operator, password: str) -> Enrolment:
    """The secret of an account, which counts once it is confirmed; until then the same is shown. Raises WrongPassword, SecondFactorRuns.

    The password, because a browser that was left signed in must not bind its owner's account to somebody else's authenticator.
    Under the operator's lock: two at once make one.
    """
    accounts.confirm(operator, password)
    presence.lock(operator.pk)
    device = _lock(operator.pk)
    if device is not None and device.confirmed_at is not None:
        raise SecondFactorRuns
    if device is None:
        device = TotpDevice.objects.create(operator=operator, secret=vault.seal(pyotp.random_base32().encode()))
    secret = vault.open_(device.secret).decode()
    return Enrolment(secret, _totp(secret).provisioning_uri(name=operator.email, issuer_name=ISSUER))


def confirm(operator: Operator, code: str) -> list[str]:
    """From now on it is asked for; the recovery codes, which are shown once. Raises WrongTotp, NoSecondFactor, SecondFactorRuns."""
    device = _lock(operator.pk)
    if device is None:
        raise NoSecondFactor
    if device.confirmed_at is not None:
        raise SecondFactorRuns
    if not _by_clock(device, code):
        raise WrongTotp
    codes = [secrets.token_hex(RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
    device.recovery_digests = [_digest(code) for code in codes]
    device.confirmed_at = clock.now()
    device.save(update_fields=["recovery_digests", "confirmed_at"])
    eventlog.append("operator.second_factor_began", operator)
    return codes


def disable(operator: Operator, code: str) -> None:
    """It is asked for no more. Who says so must have it still, or a recovery code. Raises WrongTotp, NoSecondFactor."""
    device = _lock(operator.pk)
    if device is None or device.confirmed_at is None:
        raise NoSecondFactor
    if not _serves(device, code):
        raise WrongTotp
    device.delete()
    eventlog.append("operator.second_factor_ended", operator)


def forget(operator: Operator) -> bool:
    """Take it from somebody who has lost it, and the recovery codes too; whether there was one."""
    device = _lock(operator.pk)
    if device is None:
        return False
    device.delete()
    eventlog.append("operator.second_factor_ended", operator, cause="lost")
    return True


def runs(operator_id: int) -> bool:
    """Whether an account's password is not enough."""
    return TotpDevice.objects.filter(operator_id=operator_id, confirmed_at__isnull=False).exists()


def ask(operator: Operator, code: str) -> None:
    """For whoever has shown the password of this account: the code, if it has a second factor. Raises TotpRequired, WrongTotp.

    Under the lock of its row, so that of two who show the same code at the same instant one comes in.
    """
    device = _lock(operator.pk)
    if device is None or device.confirmed_at is None:
        return
    if not code.strip():
        raise TotpRequired
    if not _serves(device, code):
        security.tell("authn_login_fail", operator_id=operator.pk, factor="totp")
        raise WrongTotp


def _lock(operator_id: int) -> TotpDevice | None:
    return TotpDevice.objects.select_for_update(no_key=True).filter(operator_id=operator_id).first()


def _serves(device: TotpDevice, code: str) -> bool:
    return _by_clock(device, code) or _by_recovery(device, code)


def _by_clock(device: TotpDevice, code: str) -> bool:
    """Whether it is a code of this time that was not used yet, nor one after it; it is used now."""
    try:
        totp, now = _totp(vault.open_(device.secret).decode()), int(clock.now().timestamp()) // STEP_SECONDS
    except vault.Unreadable:
        log.exception("the second factor of operator %s cannot be checked: a recovery code lets them in", device.operator_id)
        return False
    typed = "".join(code.split())
    for step in (now + neighbour for neighbour in NEIGHBOURS):
        if step > device.last_step and hmac.compare_digest(totp.generate_otp(step).encode(), typed.encode()):
            device.last_step = step
            device.save(update_fields=["last_step"])
            return True
    return False


def _by_recovery(device: TotpDevice, code: str) -> bool:
    """Whether it is a recovery code that was not used yet; it is used now."""
    digest = _digest("".join(code.split()).lower())
    if digest not in device.recovery_digests:
        return False
    device.recovery_digests.remove(digest)
    device.save(update_fields=["recovery_digests"])
    eventlog.append("operator.recovery_code_used", device.operator, after={"left": len(device.recovery_digests)})
    return True


def _totp(secret: str) -> pyotp.TOTP:
    return pyotp.TOTP(secret, interval=STEP_SECONDS)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
