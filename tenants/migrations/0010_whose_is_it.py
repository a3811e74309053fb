"""Whose an id is, for the security events: a refused caller hears nothing of it."""

from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_how_late_a_tick_was"),
    ]

    operations = [
        migrations.AddIndex(model_name="inbox", index=models.Index(fields=["id"], name="inbox_by_id")),
        walls.whose("inbox", "inboxes"),
    ]
