"""Forged access tokens, made by a library that is not ours: every attack of RFC 8725 and some that are older."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.registry import HeaderParameter

from convalloc import vault
from operators import sessions, signing_keys, staff, tokens
from operators.models import SigningKey
from tenants import isolation
from tenants.models import PLATFORM_TENANT_ID
from tests.conftest import Api, Cast
from tests.contract import witness

# RFC 9864 would rather have it called Ed25519, which few libraries know yet.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
PASSWORD = "correct horse battery"
Claims = dict[str, Any]


class Mint:
    """What a forger may know: the public key and its name, a real token, and, for the control, the private key."""

    def __init__(self, cast: Cast) -> None:
        with isolation.act_as(cast.tenant.pk):
            staff.set_password(cast.olga.pk, PASSWORD)
        granted = sessions.begin(cast.olga.email, PASSWORD, "203.0.113.7")
        self.real = granted.access_token
        with isolation.act_as(PLATFORM_TENANT_ID):
            key = SigningKey.objects.get(retires_at=None)
        self.kid, self.x = key.kid, key.public_key.rstrip("=")
        d = base64.urlsafe_b64encode(vault.open_(key.private_key)).rstrip(b"=").decode()
        self.ours = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": self.x, "d": d})
        now = int(time.time())
        self.claims: Claims = {
            "iss": "convalloc", "aud": tokens.AUDIENCE, "sub": str(cast.olga.pk), "tenant": cast.tenant.pk, "sid": granted.session.pk,
            "iat": now, "nbf": now, "exp": now + 300, "jti": "forged",
        }  # fmt: skip

    def sign(self, key: Any, *, alg: str = "EdDSA", without: str = "", header: Claims | None = None, **claims: Any) -> str:
        """A token as this key signs it."""
        head = {"alg": alg, "typ": "at+jwt", "kid": self.kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        body = {name: value for name, value in {**self.claims, **claims}.items() if name != without}
        word = {"word": HeaderParameter("Whatever", "bool")}
        registry = jws.JWSRegistry(header_registry=word, algorithms=[alg], strict_check_header=False)
        return str(jws.serialize_compact(head, json.dumps(body).encode(), key, registry=registry))

    def unsigned(self, alg: str) -> str:
        """No signature at all."""
        head, body = (_b64(json.dumps(part).encode()) for part in ({"alg": alg, "typ": "at+jwt", "kid": self.kid}, self.claims))
        return f"{head}.{body}."


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _theirs() -> Any:
    return OKPKey.generate_key("Ed25519")


def _as_secret(mint: Mint) -> Any:
    """Our public key, taken for the secret of an HMAC."""
    return OctKey.import_key(base64.urlsafe_b64decode(mint.x + "="))


def _bent(mint: Mint, part: int) -> str:
    parts = mint.real.split(".")
    parts[part] = ("A" if parts[part][5] != "A" else "B").join([parts[part][:5], parts[part][6:]])
    return ".".join(parts)


def _own_key_in_header(mint: Mint) -> str:
    key = _theirs()
    return mint.sign(key, header={"jwk": key.as_dict(private=False)})


def _nested(mint: Mint) -> str:
    """A token of ours, signed once more as the content of another."""
    head = {"alg": "EdDSA", "typ": "at+jwt", "cty": "JWT", "kid": mint.kid}
    return str(jws.serialize_compact(head, mint.real.encode(), mint.ours, algorithms=["EdDSA"]))


def _encrypted(mint: Mint) -> str:
    """Claims sealed to a key that everybody knows: whoever opens it may take that for a proof."""
    head = {"alg": "dir", "enc": "A256GCM", "typ": "at+jwt", "kid": mint.kid}
    return str(jwe.encrypt_compact(head, json.dumps(mint.claims).encode(), _as_secret(mint)))


ATTACKS: dict[str, Callable[[Mint], str]] = {
    "alg none": lambda mint: mint.unsigned("none"),
    "alg NONE": lambda mint: mint.unsigned("NONE"),
    "no signature under our algorithm": lambda mint: mint.unsigned("EdDSA"),
    "an HMAC with our public key for its secret": lambda mint: mint.sign(_as_secret(mint), alg="HS256"),
    "encrypted, not signed": _encrypted,
    "a token within a token": _nested,
    "an RSA key": lambda mint: mint.sign(RSAKey.generate_key(2048), alg="RS256"),
    "an elliptic curve": lambda mint: mint.sign(ECKey.generate_key("P-256"), alg="ES256"),
    "somebody else's key under our name": lambda mint: mint.sign(_theirs()),
    "a key of their own in the header": _own_key_in_header,
    "a URL of their own keys": lambda mint: mint.sign(_theirs(), header={"jku": "http://127.0.0.1:1/jwks.json"}),
    "a path for a key's name": lambda mint: mint.sign(_theirs(), header={"kid": "../../dev/null"}),
    "SQL for a key's name": lambda mint: mint.sign(_theirs(), header={"kid": "' OR 1=1 --"}),
    "no key's name": lambda mint: mint.sign(mint.ours, header={"kid": None}),
    "another type": lambda mint: mint.sign(mint.ours, header={"typ": "JWT"}),
    "no type": lambda mint: mint.sign(mint.ours, header={"typ": None}),
    "an extension that must be understood": lambda mint: mint.sign(mint.ours, header={"crit": ["word"], "word": True}),
    "another issuer": lambda mint: mint.sign(mint.ours, iss="https://evil.example"),
    "another audience": lambda mint: mint.sign(mint.ours, aud="another-service"),
    "us among several audiences": lambda mint: mint.sign(mint.ours, aud=[tokens.AUDIENCE, "another-service"]),
    "not yet": lambda mint: mint.sign(mint.ours, nbf=int(time.time()) + 3600),
    "issued in the future": lambda mint: mint.sign(mint.ours, iat=int(time.time()) + 3600),
    **{f"without {claim}": lambda mint, claim=claim: mint.sign(mint.ours, without=claim) for claim in tokens.CLAIMS},  # type: ignore[misc]
    "an end that is text": lambda mint: mint.sign(mint.ours, exp="tomorrow"),
    "an end that is no number": lambda mint: mint.sign(mint.ours, exp=float("inf")),
    "another operator of another session": lambda mint: mint.sign(mint.ours, sub="999999"),
    "a subject that is a number": lambda mint: mint.sign(mint.ours, sub=1),
    "a subject of another script": lambda mint: mint.sign(mint.ours, sub="\N{ARABIC-INDIC DIGIT FIVE}"),
    "a tenant that is text": lambda mint: mint.sign(mint.ours, tenant="1"),
    "a tenant that is true": lambda mint: mint.sign(mint.ours, tenant=True),
    "the platform's tenant": lambda mint: mint.sign(mint.ours, tenant=0),
    "a huge tenant": lambda mint: mint.sign(mint.ours, tenant=2**63),
    "a negative session": lambda mint: mint.sign(mint.ours, sid=-1),
    "a session that is none": lambda mint: mint.sign(mint.ours, sid=None),
    "a bent header": lambda mint: _bent(mint, 0),
    "a bent payload": lambda mint: _bent(mint, 1),
    "a bent signature": lambda mint: _bent(mint, 2),
    "the payload alone": lambda mint: mint.real.split(".")[1],
    "two tokens": lambda mint: f"{mint.real}.{mint.real}",
    "a refresh token's spelling": lambda mint: "cvr_1_1_" + "a" * 43,
    "an API key nobody made": lambda mint: "cvk_1_1_" + "a" * 43,
    "huge": lambda mint: mint.sign(mint.ours, jti="x" * 100_000),
    "a bomb of brackets": lambda mint: f"{_b64(b'[' * 1000)}.{_b64(b'[' * 1000)}.x",
    "emptiness": lambda mint: "",
    "dots": lambda mint: "..",
    "no ASCII": lambda mint: "é.é.é",
}  # fmt: skip


def ask(api: type[Api], token: str, path: str = "/me") -> Any:
    caller = api(None)
    caller.headers = {"Authorization": f"Bearer {token}"}
    return caller.get(path)


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_forged_token_is_a_401_and_nothing_else(cast: Cast, api: type[Api], attack: str) -> None:
    mint = Mint(cast)

    answer = ask(api, ATTACKS[attack](mint))

    assert witness.said(answer) == witness.UNKNOWN_CALLER
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_control_what_the_forgers_library_signs_with_our_own_key_is_let_in(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    assert ask(api, mint.sign(mint.ours)).status == 200


def test_an_expired_token_says_so_that_a_client_knows_to_refresh(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)
    past = int(time.time()) - 3600

    answer = ask(api, mint.sign(mint.ours, iat=past, nbf=past, exp=past + 600))

    assert (answer.status, answer.body["code"]) == (401, "token_expired")


def test_a_token_of_one_tenant_names_nobody_in_another(cast: Cast, neighbours: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    answers = [ask(api, mint.sign(mint.ours, tenant=neighbours.tenant.pk, sub=str(who.pk))) for who in (cast.olga, neighbours.ada)]

    assert [witness.said(answer) for answer in answers] == [witness.UNKNOWN_CALLER] * 2


def test_a_session_of_one_operator_is_nobody_elses(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    answer = ask(api, mint.sign(mint.ours, sub=str(cast.otto.pk)))

    assert witness.said(answer) == witness.UNKNOWN_CALLER


@pytest.mark.parametrize("scheme", ["Basic", "bearerish", "Bearer,Bearer", ""])
def test_another_scheme_is_a_401_even_beside_a_header_that_would_do(cast: Cast, api: type[Api], scheme: str) -> None:
    caller = api(cast.olga)
    caller.headers |= {"Authorization": f"{scheme} abc"}

    assert caller.get("/me").status == 401


# --- the keys -------------------------------------------------------------------------------------


def test_after_a_rotation_the_former_keys_tokens_are_good_until_they_end(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    key = signing_keys.rotate()

    assert ask(api, mint.real).status == 200
    assert ask(api, sessions.begin(cast.olga.email, PASSWORD, "203.0.113.7").access_token).status == 200
    assert [jwk["kid"] for jwk in signing_keys.published()["keys"]] == [key.kid, mint.kid]


def test_a_key_that_was_withdrawn_is_believed_no_more(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    signing_keys.rotate(withdraw=True)

    assert witness.said(ask(api, mint.real)) == witness.UNKNOWN_CALLER


def test_a_key_whose_time_is_over_is_deleted_at_the_next_rotation(cast: Cast) -> None:
    Mint(cast)
    signing_keys.rotate()
    with isolation.act_as(PLATFORM_TENANT_ID):
        retired = SigningKey.objects.exclude(retires_at=None)
        retired.update(retires_at=SigningKey.objects.latest("pk").created_at)
        was = retired.count()

    signing_keys.rotate()

    with isolation.act_as(PLATFORM_TENANT_ID):
        assert (was, SigningKey.objects.count()) == (1, 2)


def test_a_key_sealed_under_a_lost_secret_is_replaced_and_nobody_is_turned_away(cast: Cast, api: type[Api], settings: Any) -> None:
    Mint(cast)
    settings.SECRET_KEY = "another secret key altogether, of fifty characters or more"

    granted = sessions.begin(cast.olga.email, PASSWORD, "203.0.113.7")

    assert ask(api, granted.access_token).status == 200


def test_the_keys_are_published_for_whoever_wants_to_check_our_tokens(cast: Cast, api: type[Api]) -> None:
    mint = Mint(cast)

    answer = api(None).client.get("/.well-known/jwks.json")

    (found,) = answer.json()["keys"]
    assert answer.headers["Content-Type"] == "application/jwk-set+json"
    assert found == {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": mint.kid, "x": mint.x}
    assert jws.deserialize_compact(mint.real, OKPKey.import_key(found), algorithms=["EdDSA"]).payload
