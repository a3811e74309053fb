"""Whose an id is, for the security events: a refused caller hears nothing of it."""

from django.db import migrations, models

from tenants import walls

# What is led by an id must be the key that a foreign key refers to, which is let go meanwhile.
LET_GO = "ALTER TABLE conversation_labels DROP CONSTRAINT conversation_of_the_same_inbox"
REFER = (
    "ALTER TABLE conversation_labels ADD CONSTRAINT conversation_of_the_same_inbox FOREIGN KEY (tenant_id, inbox_id, conversation_id)"
    " REFERENCES conversations (tenant_id, inbox_id, id)"
)


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0006_tenant_by_composite_keys"),
    ]

    operations = [
        migrations.RunSQL(reverse_sql=REFER, sql=LET_GO),
        migrations.RemoveConstraint(model_name="conversation", name="conversation_in_inbox"),
        migrations.AddConstraint(
            model_name="conversation", constraint=models.UniqueConstraint(fields=("id", "tenant", "inbox"), name="conversation_in_inbox")
        ),
        migrations.RunSQL(reverse_sql=LET_GO, sql=REFER),
        walls.whose("conversation", "conversations"),
        migrations.AddIndex(model_name="graceperiod", index=models.Index(fields=["id"], name="grace_by_id")),
        walls.whose("grace_period", "grace_period_assignments"),
    ]
