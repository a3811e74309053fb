"""Webhooks, and what is on its way to them."""

import django.db.models.deletion
import django.db.models.functions.datetime
import tenants.models
from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0014_settings_version"),
    ]

    operations = [
        migrations.CreateModel(
            name="Webhook",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("url", models.TextField()),
                ("description", models.TextField(blank=True, default="")),
                ("kinds", models.JSONField(default=list)),
                (
                    "payload",
                    models.TextField(
                        choices=[("thin", "what happened to what: no names, no numbers"), ("full", "the event as the API tells it")],
                        default="thin",
                    ),
                ),
                ("sealed", models.TextField(editable=False)),
                ("former_sealed", models.TextField(blank=True, default="", editable=False)),
                ("former_until", models.DateTimeField(editable=False, null=True)),
                ("stopped_at", models.DateTimeField(editable=False, null=True)),
                (
                    "stopped_because",
                    models.TextField(
                        blank=True,
                        choices=[
                            ("by_hand", "somebody turned it off"),
                            ("gone", "it answered 410"),
                            ("failing", "nothing got through for days"),
                        ],
                        default="",
                        editable=False,
                    ),
                ),
                ("read_transaction", models.BigIntegerField(editable=False)),
                ("read_id", models.BigIntegerField(editable=False)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "webhooks",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="WebhookDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.BigIntegerField()),
                ("kind", models.TextField()),
                (
                    "state",
                    models.TextField(
                        choices=[("pending", "to be tried at due_at"), ("delivered", "the other side has it"), ("failed", "given up")],
                        default="pending",
                    ),
                ),
                ("due_at", models.DateTimeField()),
                ("lease", models.IntegerField(default=0)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("tries", models.JSONField(default=list)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("ended_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.tenant",
                    ),
                ),
                (
                    "webhook",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="tenants.webhook",
                    ),
                ),
            ],
            options={
                "db_table": "webhook_deliveries",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="webhook",
            index=models.Index(fields=["id"], name="webhook_by_id"),
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.CheckConstraint(condition=models.Q(("payload__in", ["thin", "full"])), name="webhook_known_payload"),
        ),
        migrations.AddConstraint(
            model_name="webhook",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("stopped_at", None), ("stopped_because", "")),
                    models.Q(("stopped_at__isnull", False), ("stopped_because__in", ["by_hand", "gone", "failing"])),
                    _connector="OR",
                ),
                name="webhook_stopped_because",
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("state", "pending")), fields=["tenant", "webhook", "due_at", "id"], name="webhook_delivery_due"
            ),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(fields=["id"], name="delivery_by_id"),
        ),
        migrations.AddIndex(
            model_name="webhookdelivery",
            index=models.Index(
                condition=models.Q(("ended_at__isnull", False)), fields=["tenant", "ended_at"], name="webhook_delivery_over"
            ),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.UniqueConstraint(fields=("tenant", "webhook", "event_id"), name="webhook_event_once"),
        ),
        migrations.AddConstraint(
            model_name="webhookdelivery",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("ended_at", None), ("state", "pending")),
                    models.Q(("ended_at__isnull", False), ("state__in", ["delivered", "failed"])),
                    _connector="OR",
                ),
                name="webhook_delivery_ends",
            ),
        ),
        walls.Raise("Webhook"),
        walls.Raise("WebhookDelivery"),
        walls.whose("webhook", "webhooks"),
        walls.whose("delivery", "webhook_deliveries"),
        walls.Lookup(
            "tenants_with_webhooks()",
            returns="SETOF bigint",
            reads="webhooks",
            body="SELECT DISTINCT tenant_id FROM webhooks WHERE stopped_at IS NULL",
        ),
    ]
