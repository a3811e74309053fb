"""Signing secrets of API keys, and the signed messages that were let in."""

import django.db.models.deletion
import django.db.models.functions.datetime
import tenants.models
from django.conf import settings
from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0009_second_factor"),
        ("tenants", "0008_failed_ticks"),
    ]

    operations = [
        migrations.CreateModel(
            name="SeenMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("message_id", models.TextField()),
                ("signed_at", models.DateTimeField()),
                (
                    "api_key",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="operators.apikey",
                    ),
                ),
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
            ],
            options={
                "db_table": "seen_messages",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [models.Index(fields=["tenant", "signed_at"], name="seen_message_by_time")],
                "constraints": [models.UniqueConstraint(fields=("tenant", "api_key", "message_id", "signed_at"), name="message_once")],
            },
        ),
        migrations.CreateModel(
            name="SigningSecret",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sealed", models.TextField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("dropped_at", models.DateTimeField(blank=True, null=True)),
                (
                    "api_key",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="operators.apikey",
                    ),
                ),
                (
                    "created_by",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
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
            ],
            options={
                "db_table": "signing_secrets",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(
                        condition=models.Q(("dropped_at__isnull", True)), fields=["tenant", "api_key"], name="live_signing_secrets"
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("dropped_at__isnull", True), models.Q(("sealed", ""), _negated=True)),
                            models.Q(("dropped_at__isnull", False), ("sealed", "")),
                            _connector="OR",
                        ),
                        name="dropped_secret_is_forgotten",
                    )
                ],
            },
        ),
        walls.Raise("SigningSecret"),
        walls.Raise("SeenMessage"),
    ]
