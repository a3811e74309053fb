"""How this floor refuses."""

from convalloc.errors import DomainError, Forbidden, Invalid, Kind, violates


class UnknownCaller(DomainError):
    """Authentication required"""

    kind = Kind.UNKNOWN_CALLER
    code = "not_authenticated"


class TokenExpired(UnknownCaller):
    """The access token has expired: get another one with the refresh token"""

    code = "token_expired"


class WrongCredentials(UnknownCaller):
    """Email or password is wrong"""

    code = "wrong_credentials"


class WrongPassword(WrongCredentials):
    """The password is wrong"""

    code = "wrong_password"


class SessionEnded(UnknownCaller):
    """This refresh token serves no more: sign in again"""

    code = "session_ended"


class SignatureInvalid(UnknownCaller):
    """The request is not signed as it must be: {reason}"""

    code = "signature_invalid"


class SignatureReplayed(UnknownCaller):
    """This signed message was let in before: whoever tries again signs anew, with the time of then"""

    code = "signature_replayed"


class ApiKeyEnded(DomainError):
    """This API key opens nothing any more: another one is needed"""

    code = "api_key_ended"


class EnoughSecrets(DomainError):
    """This API key has {limit} signing secrets already: drop one first"""

    code = "enough_signing_secrets"


class AccountClosed(DomainError):
    """This account is closed: nothing can act as it"""

    code = "operator_disabled"


class ScopeMissing(Forbidden):
    """This API key does not have the scope {scope}"""

    code = "scope_missing"


class PlatformAccount(Forbidden):
    """Accounts of the platform belong to no tenant: sign in as an operator of one"""

    code = "platform_account"


class OthersWork(Forbidden):
    """You do not have permission to act for another operator"""

    code = "not_yourself"


class RoleTooLow(Forbidden):
    """You do not have permission to do this: it takes the role {needed}"""

    code = "role_too_low"


class NotSubscribed(Forbidden):
    """Operator is not subscribed to this inbox"""

    code = "not_subscribed"


class NotYourInbox(Forbidden):
    """You do not have permission to see this inbox: you are not subscribed to it"""

    code = "not_your_inbox"


class OperatorOffline(DomainError):
    """Operator is OFFLINE: a heartbeat brings nobody back, setting the status does"""

    code = "operator_offline"


@violates("operators_email_key")
class EmailTaken(DomainError):
    """This email address cannot be used: an account has it already"""

    code = "email_taken"


class OwnRights(Forbidden):
    """You cannot change your own role or close your own account: ask another administrator"""

    code = "own_rights"


class TotpRequired(UnknownCaller):
    """This account has a second factor: send its code along"""

    code = "totp_required"


class WrongTotp(WrongCredentials):
    """The code is wrong, or it has been used already: wait for the next one"""

    code = "totp_wrong"


class KeyReused(DomainError):
    """This Idempotency-Key stands for another question already: take a new one"""

    kind = Kind.OTHERWISE
    code = "idempotency_key_reused"


class KeyInUse(DomainError):
    """What was asked with this Idempotency-Key is being done: ask again in a moment"""

    code = "idempotency_key_in_use"


class MalformedKey(Invalid):
    """Validation failed"""

    def __init__(self) -> None:
        super().__init__(fields={"Idempotency-Key": '"Idempotency-Key" must be 1 to 255 of A-Z, a-z, 0-9 and ._~:+/=@-'})


class SecondFactorRuns(DomainError):
    """This account has a second factor already"""

    code = "second_factor_runs"


class NoSecondFactor(DomainError):
    """This account has no second factor"""

    code = "no_second_factor"
