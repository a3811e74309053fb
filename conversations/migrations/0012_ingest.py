"""Messages come in: which ones were counted, and how often a conversation was reopened."""

import django.db.models.deletion
import django.db.models.functions.datetime
import tenants.models
from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0011_events_kept"),
        ("tenants", "0013_events_kept"),
    ]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="episode",
            field=models.PositiveIntegerField(db_default=1, default=1),
        ),
        migrations.CreateModel(
            name="ReceivedMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("provider", models.TextField()),
                ("message_id", models.TextField()),
                ("direction", models.TextField(choices=[("inbound", "Inbound"), ("outbound", "Outbound")])),
                ("sent_at", models.DateTimeField()),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("episode", models.PositiveIntegerField()),
                (
                    "conversation",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="conversations.conversation",
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
                "db_table": "received_messages",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
                "indexes": [
                    models.Index(fields=["tenant", "conversation", "episode", "direction", "sent_at"], name="message_by_conversation")
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "provider", "message_id"), name="message_counted_once"),
                    models.CheckConstraint(condition=models.Q(("direction__in", ["inbound", "outbound"])), name="message_known_direction"),
                ],
            },
        ),
        walls.Raise("ReceivedMessage"),
    ]
