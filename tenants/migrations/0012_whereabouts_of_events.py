"""Which conversation and which inbox an event is about, and who holds it then. conversations.0010 fills this in for what was told before."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0011_retention"),
    ]

    operations = [
        migrations.AddField(model_name="event", name="conversation_id", field=models.BigIntegerField(null=True)),
        migrations.AddField(model_name="event", name="inbox_id", field=models.BigIntegerField(null=True)),
        migrations.AddField(model_name="event", name="holder_id", field=models.BigIntegerField(null=True)),
        migrations.RemoveIndex(model_name="event", name="event_timeline"),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("conversation_id__isnull", False)),
                fields=["tenant", "conversation_id", "id"],
                include=("transaction",),
                name="event_by_conversation",
            ),
        ),
        migrations.AddIndex(
            model_name="event",
            index=models.Index(
                condition=models.Q(("subject_type", "conversation"), _negated=True),
                fields=["tenant", "subject_type", "subject_id", "id"],
                name="event_by_subject",
            ),
        ),
    ]
