"""Whose a session's id is, for the security events."""

from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0011_whose_is_it"),
    ]

    operations = [
        migrations.AddIndex(model_name="session", index=models.Index(fields=["id"], name="session_by_id")),
        walls.whose("session", "sessions"),
    ]
