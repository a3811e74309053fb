"""/signing-secrets: made by an administrator, seen once, sealed, several at a time, dropped for good."""

import base64
from datetime import timedelta

import pytest

from convalloc import vault
from operators import signing_secrets
from operators.api.permissions import SCOPES
from operators.models import ApiKey, SigningSecret
from tenants import isolation
from tests.conftest import Answer, Api, Cast
from tests.contract import witness
from tests.contract.routes import api_key, signing_secret


def make(cast: Cast, key: ApiKey) -> Answer:
    return Api(cast.ada).post("/signing-secrets", api_key_id=key.pk)


def test_a_secret_is_of_the_form_that_the_libraries_read(cast: Cast) -> None:
    secret = make(cast, api_key(cast)).data["secret"]

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32


def test_a_secret_says_by_which_name_to_sign(cast: Cast) -> None:
    key = api_key(cast)

    made = make(cast, key).data

    assert (made["api_key_id"], made["sign_as"]) == (key.pk, f"cvk_{cast.tenant.pk}_{key.pk}")


def test_the_secret_is_shown_once_and_kept_sealed(cast: Cast, api: type[Api]) -> None:
    made = make(cast, api_key(cast)).data
    text = made["secret"].removeprefix("whsec_")

    listed = api(cast.ada).get("/signing-secrets")

    assert text.encode() not in listed.raw
    assert listed.data == [{name: value for name, value in made.items() if name != "secret"}]
    with isolation.act_as(cast.tenant.pk):
        (kept,) = SigningSecret.objects.values_list("sealed", flat=True)
    assert base64.b64decode(text) not in base64.urlsafe_b64decode(kept)
    assert vault.open_(kept) == base64.b64decode(text)


def test_making_and_dropping_stand_in_the_log_without_the_secret(cast: Cast, api: type[Api]) -> None:
    key = api_key(cast)

    with witness.appended(cast) as events:
        made = make(cast, key).data
        api(cast.ada).delete(f"/signing-secrets/{made['id']}")

    assert [(event["kind"], event["subject_id"], event["actor_id"], event["after"]) for event in events] == [
        (f"signing_secret.{what}", made["id"], cast.ada.pk, {"api_key_id": key.pk}) for what in ("made", "dropped")
    ]


def test_a_key_has_at_most_five_at_a_time(cast: Cast, api: type[Api]) -> None:
    key, another = api_key(cast), api_key(cast)
    made = [make(cast, key) for _ in range(5)]

    with witness.untouched(cast):
        sixth = make(cast, key)

    message = "This API key has 5 signing secrets already: drop one first"
    assert witness.said(sixth) == witness.refusal(409, "enough_signing_secrets", message, limit=5)
    assert make(cast, another).status == 201
    assert api(cast.ada).delete(f"/signing-secrets/{made[0].data['id']}").status == 200
    assert make(cast, key).status == 201


def test_dropping_twice_is_dropping_once_and_nothing_of_it_is_left(cast: Cast, api: type[Api]) -> None:
    secret = signing_secret(cast)

    with witness.appended(cast) as events:
        answers = [api(cast.ada).delete(f"/signing-secrets/{secret.pk}") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].data["dropped_at"] == answers[1].data["dropped_at"] is not None
    assert len(events) == 1
    assert cast.again(secret).sealed == ""


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_key_that_has_ended_gets_no_secret(cast: Cast, api: type[Api], end: str) -> None:
    key = api_key(cast)
    if end == "revoked":
        assert api(cast.ada).delete(f"/api-keys/{key.pk}").status == 200
    else:
        witness.change(cast, key, expires_at=key.created_at - timedelta(days=1))

    with witness.untouched(cast):
        answer = make(cast, key)

    assert witness.said(answer) == witness.refusal(409, "api_key_ended", "This API key opens nothing any more: another one is needed")


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", ""), ("DELETE", "/{secret}")])
def test_no_key_makes_shows_or_drops_secrets(cast: Cast, api: type[Api], method: str, path: str) -> None:
    secret = signing_secret(cast)
    caller = api(None)
    key = api(cast.ada).post("/api-keys", name="CRM", scopes=SCOPES).data["key"]
    caller.headers = {"Authorization": f"Bearer {key}"}
    body = {"api_key_id": secret.api_key_id} if method == "POST" else None

    with witness.untouched(cast):
        answer = caller.call(method, f"/signing-secrets{path.format(secret=secret.pk)}", body)

    assert (answer.status, answer.body["code"]) == (403, "scope_missing")


def test_a_secret_that_cannot_be_opened_any_more_is_told_in_the_log_and_signs_nothing(cast: Cast, caplog: pytest.LogCaptureFixture) -> None:
    lost, good = signing_secret(cast), None
    with isolation.act_as(cast.tenant.pk):
        SigningSecret.objects.update(sealed="sealed under another SECRET_KEY")
        good, _ = signing_secrets.make(lost.api_key_id, by=cast.ada)

        opened = [secret_id for secret_id, _ in signing_secrets.opened(lost.api_key_id)]

    assert opened == [good.pk]
    assert f"signing secret {lost.pk} checks nothing" in caplog.text
