"""What callers may repeat, and what it was answered."""

import django.db.models.deletion
import django.db.models.functions.datetime
import tenants.models
from django.conf import settings
from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0012_whose_session"),
        ("tenants", "0013_events_kept"),
    ]

    operations = [
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("operation", models.TextField()),
                ("digest", models.TextField()),
                ("question", models.TextField()),
                ("status", models.PositiveSmallIntegerField(null=True)),
                ("headers", models.JSONField(default=dict)),
                ("sealed", models.TextField(default="")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ("expires_at", models.DateTimeField()),
                (
                    "operator",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
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
                "db_table": "idempotency_keys",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [models.Index(fields=["tenant", "expires_at"], name="idempotency_key_by_end")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "operator", "operation", "digest"), name="idempotency_key_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("status__isnull", True), ("sealed", "")),
                            models.Q(("status__isnull", False), models.Q(("sealed", ""), _negated=True)),
                            _connector="OR",
                        ),
                        name="answered_with_a_body",
                    ),
                ],
            },
        ),
        walls.Raise("IdempotencyKey"),
    ]
