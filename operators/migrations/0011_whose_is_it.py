"""Whose an id is, for the security events: a refused caller hears nothing of it."""

from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0010_signing_secrets"),
    ]

    operations = [
        migrations.AddIndex(model_name="apikey", index=models.Index(fields=["id"], name="api_key_by_id")),
        walls.whose("api_key", "api_keys"),
        migrations.AddIndex(model_name="signingsecret", index=models.Index(fields=["id"], name="signing_secret_by_id")),
        walls.whose("signing_secret", "signing_secrets"),
    ]
