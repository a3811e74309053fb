import django.db.models.deletion
import django.db.models.functions.datetime
import tenants.models
from django.conf import settings
from django.db import migrations, models
from tenants import walls


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("labels", "0001_initial"),
        ("tenants", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Conversation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("external_conversation_id", models.TextField()),
                ("customer_phone_number", models.TextField()),
                (
                    "state",
                    models.TextField(
                        choices=[("QUEUED", "Queued"), ("ALLOCATED", "Allocated"), ("RESOLVED", "Resolved")], default="QUEUED"
                    ),
                ),
                ("message_count", models.PositiveIntegerField(default=0)),
                ("last_message_at", models.DateTimeField()),
                ("waiting_since", models.DateTimeField(blank=True, null=True)),
                ("waits_from", models.DateTimeField()),
                ("credit", models.BigIntegerField()),
                ("rank", models.BigIntegerField()),
                ("saturated", models.BooleanField(default=False)),
                ("priority_score", models.FloatField(default=0)),
                ("version", models.PositiveIntegerField(default=1)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("updated_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "assigned_operator",
                    tenants.models.OwnedForeignKey(
                        blank=True,
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "inbox",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.inbox",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={"db_table": "conversations", "abstract": False, "base_manager_name": "objects", "default_manager_name": "objects"},
        ),
        migrations.CreateModel(
            name="Assignment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.TextField(choices=[("auto", "Auto"), ("claim", "Claim"), ("manager", "Manager")])),
                ("started_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "end_reason",
                    models.TextField(
                        blank=True,
                        choices=[
                            ("resolved", "Resolved"),
                            ("reassigned", "Reassigned"),
                            ("deallocated", "Deallocated"),
                            ("moved", "Moved"),
                            ("grace_expired", "Grace Expired"),
                        ],
                        null=True,
                    ),
                ),
                ("score_at_start", models.FloatField()),
                ("waited_seconds_at_start", models.FloatField()),
                (
                    "operator",
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
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
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
            ],
            options={"db_table": "assignments", "abstract": False, "base_manager_name": "objects", "default_manager_name": "objects"},
        ),
        migrations.CreateModel(
            name="ConversationLabel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                (
                    "conversation",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.conversation",
                    ),
                ),
                (
                    "inbox",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="tenants.inbox",
                    ),
                ),
                (
                    "label",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="labels.label",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "conversation_labels",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.CreateModel(
            name="GracePeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.TextField(default="offline")),
                ("opened_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                (
                    "end_reason",
                    models.TextField(
                        blank=True,
                        choices=[("returned", "Returned"), ("assignment_ended", "Assignment Ended"), ("expired", "Expired")],
                        null=True,
                    ),
                ),
                (
                    "assignment",
                    tenants.models.OwnedForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="conversations.assignment",
                    ),
                ),
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
                    "operator",
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
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "db_table": "grace_period_assignments",
                "abstract": False,
                "base_manager_name": "objects",
                "default_manager_name": "objects",
            },
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("state", "QUEUED")),
                fields=["tenant", "inbox", "saturated", "rank", "waits_from", "id"],
                name="queue_by_rank",
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(("saturated", False), ("state", "QUEUED")),
                fields=["tenant", "inbox", "waits_from"],
                name="queue_by_waiting",
            ),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(condition=models.Q(("state", "ALLOCATED")), fields=["tenant", "assigned_operator"], name="held_by_operator"),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(fields=["tenant", "last_message_at", "id"], name="conversation_by_time"),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(fields=["tenant", "customer_phone_number", "-last_message_at", "-id"], name="conversation_by_phone"),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.UniqueConstraint(fields=("tenant", "external_conversation_id"), name="external_conversation_once"),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.UniqueConstraint(fields=("tenant", "inbox", "id"), name="conversation_in_inbox"),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.CheckConstraint(
                condition=models.Q(("state__in", ["QUEUED", "ALLOCATED", "RESOLVED"])), name="conversation_known_state"
            ),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("assigned_operator__isnull", False), ("state", "ALLOCATED")),
                    models.Q(models.Q(("state", "ALLOCATED"), _negated=True), ("assigned_operator__isnull", True)),
                    _connector="OR",
                ),
                name="allocated_exactly_with_an_operator",
            ),
        ),
        migrations.AddConstraint(
            model_name="conversation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("resolved_at__isnull", False), ("state", "RESOLVED")),
                    models.Q(models.Q(("state", "RESOLVED"), _negated=True), ("resolved_at__isnull", True)),
                    _connector="OR",
                ),
                name="resolved_exactly_with_a_time",
            ),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(fields=["tenant", "operator", "ended_at"], name="assignment_by_operator"),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(fields=["tenant", "conversation", "id"], name="assignment_by_conversation"),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)), fields=("tenant", "conversation"), name="one_open_assignment"
            ),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.CheckConstraint(
                condition=models.Q(("source__in", ["auto", "claim", "manager"])), name="assignment_known_source"
            ),
        ),
        migrations.AddConstraint(
            model_name="assignment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("end_reason__isnull", True), ("ended_at__isnull", True)),
                    models.Q(
                        ("end_reason__in", ("resolved", "reassigned", "deallocated", "moved", "grace_expired")),
                        ("end_reason__isnull", False),
                        ("ended_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="assignment_ends_with_a_reason",
            ),
        ),
        migrations.AddIndex(
            model_name="conversationlabel",
            index=models.Index(fields=["tenant", "label", "conversation"], name="conversation_by_label"),
        ),
        migrations.AddConstraint(
            model_name="conversationlabel",
            constraint=models.UniqueConstraint(fields=("tenant", "conversation", "label"), name="label_once_per_conversation"),
        ),
        migrations.AddIndex(
            model_name="graceperiod",
            index=models.Index(condition=models.Q(("ended_at__isnull", True)), fields=["tenant", "expires_at", "id"], name="grace_due"),
        ),
        migrations.AddIndex(
            model_name="graceperiod",
            index=models.Index(condition=models.Q(("ended_at__isnull", True)), fields=["tenant", "operator"], name="grace_by_operator"),
        ),
        migrations.AddConstraint(
            model_name="graceperiod",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ended_at__isnull", True)), fields=("tenant", "assignment"), name="one_open_grace_period"
            ),
        ),
        migrations.AddConstraint(
            model_name="graceperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("end_reason__isnull", True), ("ended_at__isnull", True)),
                    models.Q(
                        ("end_reason__in", ("returned", "assignment_ended", "expired")),
                        ("end_reason__isnull", False),
                        ("ended_at__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="grace_ends_with_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="graceperiod",
            constraint=models.CheckConstraint(condition=models.Q(("expires_at__gt", models.F("opened_at"))), name="grace_lasts"),
        ),
        walls.Raise("Conversation"),
        walls.Raise("Assignment"),
        walls.Raise("GracePeriod"),
        walls.Raise("ConversationLabel"),
        # A label sits on a conversation of its own inbox, and on no other: both references carry the inbox.
        migrations.RunSQL(
            "ALTER TABLE conversation_labels"
            " ADD CONSTRAINT label_of_the_same_inbox FOREIGN KEY (tenant_id, inbox_id, label_id) REFERENCES labels (tenant_id, inbox_id, id),"
            " ADD CONSTRAINT conversation_of_the_same_inbox FOREIGN KEY (tenant_id, inbox_id, conversation_id)"
            " REFERENCES conversations (tenant_id, inbox_id, id)",
            reverse_sql="ALTER TABLE conversation_labels DROP CONSTRAINT label_of_the_same_inbox, DROP CONSTRAINT conversation_of_the_same_inbox",
        ),
        walls.Lookup(
            "tenants_with_due_grace()",
            returns="SETOF bigint",
            reads="grace_period_assignments",
            body="SELECT DISTINCT tenant_id FROM grace_period_assignments WHERE ended_at IS NULL AND expires_at <= clock_timestamp() ORDER BY 1",
        ),
    ]
