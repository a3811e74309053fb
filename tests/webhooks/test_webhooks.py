"""/webhooks: made by an administrator, its secret seen once and sealed, at most so many, changed and deleted in the log."""

from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from convalloc.celery import WEBHOOKS, app
from tenants import deliveries, eventlog, isolation, webhooks
from tenants.models import Event, Tenant, Webhook, WebhookDelivery
from tests.conftest import Api, Cast
from tests.contract import witness
from tests.conversations.test_tasks import WORKER, running, until
from tests.tenants.test_feed import wait_until_final
from tests.webhooks.conftest import Hooked, hooked
from tests.webhooks.receiver import LOOPBACK, Receiver
from tests.webhooks.test_sending import labelled

URL = "https://1.1.1.1/hook"
NOT_FOUND = witness.refusal(404, "not_found", "Webhook not found", what="Webhook")


def test_the_secret_is_shown_once_and_sealed_in_the_database(cast: Cast, api: type[Api]) -> None:
    made = api(cast.ada).post("/webhooks", url=URL).data
    another = api(cast.ada).post(f"/webhooks/{made['id']}/secret").data

    answers = [api(cast.ada).get(path) for path in ("/webhooks", f"/webhooks/{made['id']}", "/events")]

    with isolation.act_as(cast.tenant.pk):
        kept = str(list(Webhook.objects.values()))
    assert made["secret"] != another["secret"]
    for secret in (made["secret"], another["secret"]):
        assert secret.startswith("whsec_")
        assert not any(secret.removeprefix("whsec_") in text for text in (kept, *(answer.raw.decode() for answer in answers)))


def test_a_webhook_is_made_changed_stopped_and_deleted_and_the_log_tells_it(cast: Cast, api: type[Api]) -> None:
    ada = api(cast.ada)
    with witness.appended(cast) as events:
        id_ = ada.post("/webhooks", url=URL, kinds=["label.changed", "label.created", "label.created"]).data["id"]
        changed = ada.call("PATCH", f"/webhooks/{id_}", {"url": "https://1.0.0.1/hook", "enabled": False}).data
        again = ada.call("PATCH", f"/webhooks/{id_}", {"enabled": False}).data
        stopped = ada.post(f"/webhooks/{id_}/test")
        assert ada.delete(f"/webhooks/{id_}").status == 200

    assert (changed["kinds"], changed["enabled"], changed["stopped_because"]) == (["label.changed", "label.created"], False, "by_hand")
    assert again == changed
    assert witness.said(stopped) == witness.refusal(409, "webhook_stopped", "This webhook is stopped: enable it first")
    assert [event["kind"] for event in events] == ["webhook.created", "webhook.changed", "webhook.deleted"]
    assert events[1]["before"] == {"url": URL, "enabled": True, "stopped_because": ""}
    assert witness.said(ada.get(f"/webhooks/{id_}")) == NOT_FOUND


def test_an_organisation_has_at_most_so_many(cast: Cast, api: type[Api]) -> None:
    answers = [api(cast.ada).post("/webhooks", url=URL) for _ in range(webhooks.MOST + 1)]

    assert [answer.status for answer in answers] == [201] * webhooks.MOST + [409]
    assert answers[-1].body["code"] == "enough_webhooks"


def test_managers_look_and_administrators_act(cast: Cast, api: type[Api]) -> None:
    id_ = api(cast.ada).post("/webhooks", url=URL).data["id"]

    assert api(cast.mia).get(f"/webhooks/{id_}/deliveries").status == 200
    assert witness.said(api(cast.mia).post(f"/webhooks/{id_}/test")) == witness.role_too_low("ADMIN")
    assert witness.said(api(cast.olga).get("/webhooks")) == witness.role_too_low("MANAGER")


@pytest.mark.parametrize("kinds", [["webhook.tested"], ["label.created", "label.lost"], "label.created", [1]])
def test_a_webhook_is_told_of_kinds_that_there_are_and_of_nobody_elses_test(kinds: Any, cast: Cast, api: type[Api]) -> None:
    answer = api(cast.ada).post("/webhooks", url=URL, kinds=kinds)

    assert (answer.status, answer.body["code"]) == (400, "validation_failed")


@pytest.mark.parametrize("after", ["tomorrow", "9223372036854775807-1", "-1-1"])
def test_a_replay_goes_to_a_position_that_the_log_gave(after: str, cast: Cast, api: type[Api]) -> None:
    id_ = api(cast.ada).post("/webhooks", url=URL).data["id"]

    answer = api(cast.ada).post(f"/webhooks/{id_}/replay", after=after)

    assert (answer.status, list(answer.fields)) == (400, ["after"])


def test_the_deliveries_come_page_by_page(cast: Cast, api: type[Api]) -> None:
    id_ = api(cast.ada).post("/webhooks", url=URL).data["id"]
    sent = [api(cast.ada).post(f"/webhooks/{id_}/test").data["id"] for _ in range(5)]

    found: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = api(cast.mia).get(f"/webhooks/{id_}/deliveries?limit=2&cursor={cursor}")
        found += [row["id"] for row in answer.data]
        cursor = answer.body["meta"]["next_cursor"]

    assert found == sent[::-1]
    assert api(cast.mia).get(f"/webhooks/{id_}/deliveries?state=failed").data == []


def test_what_the_log_has_forgotten_is_skipped_and_what_is_kept_is_told(hook: Hooked) -> None:
    labelled(hook, "forgotten")
    event_id = labelled(hook, "kept")
    with isolation.act_as(hook.cast.tenant.pk):
        last = eventlog.position(Event.objects.order_by("-pk")[1])
        Tenant.objects.filter(pk=hook.cast.tenant.pk).update(forgotten_transaction=last[0], forgotten_id=last[1])

    hook.send()

    assert hook.receiver.ids == [event_id]


def test_an_event_that_was_forgotten_on_its_way_is_given_up(hook: Hooked) -> None:
    labelled(hook)
    with isolation.act_as(hook.cast.tenant.pk):
        WebhookDelivery.objects.create(webhook_id=hook.id, event_id=10**12, kind="label.created", due_at=hook.row().created_at)

    hook.send()

    assert {row["last_error"]: row["state"] for row in hook.deliveries()} == {"forgotten": "failed", "": "delivered"}
    assert hook.call("GET")["enabled"]


def test_a_secret_of_another_secret_key_is_told_and_sends_nothing(hook: Hooked, settings: Any) -> None:
    labelled(hook)
    settings.SECRET_KEY = "another" * 10

    hook.send()

    assert [(row["state"], row["last_error"]) for row in hook.deliveries()] == [("pending", "secret_unreadable")]
    assert hook.receiver.got == []


def test_of_two_who_send_at_once_each_takes_what_the_other_has_not(hook: Hooked) -> None:
    ids = [labelled(hook, f"word {number}") for number in range(4)]
    wait_until_final(hook.cast)
    with isolation.act_as(hook.cast.tenant.pk):
        deliveries.plan(hook.id)
        taken = deliveries.take(hook.id, 2)
        rest = deliveries.take(hook.id, 10)

    assert [parcel.event.pk for parcel in taken + rest if parcel.event] == ids


def test_what_is_over_is_forgotten_after_a_while(hook: Hooked) -> None:
    labelled(hook)
    hook.send()
    with isolation.act_as(hook.cast.tenant.pk):
        row = WebhookDelivery.objects.get()
        assert row.ended_at is not None
        row.ended_at -= deliveries.KEPT
        row.save(update_fields=["ended_at"])

    hook.send()

    assert hook.deliveries() == []


def test_a_real_worker_on_the_queue_of_webhooks_sends(hook: Hooked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id, log = labelled(hook), tmp_path / "worker.log"
    wait_until_final(hook.cast)
    monkeypatch.setenv("WEBHOOK_NETWORKS", ",".join(map(str, LOOPBACK)))

    with running(log, *WORKER, "--queues", WEBHOOKS):
        app.send_task("tenants.tasks.send_webhooks")
        until(lambda: hook.receiver.ids == [event_id], log)

    assert current_app.main == "convalloc"


def test_a_webhook_of_a_deleted_one_hears_nothing_more(hook: Hooked, receiver: Receiver) -> None:
    other = hooked(hook.cast, receiver)
    labelled(hook)
    hook.call("DELETE")

    other.send()

    assert len(receiver.got) == 1
