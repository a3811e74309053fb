"""Whose an id is, for the security events: a refused caller hears nothing of it."""

from django.db import migrations, models

from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("labels", "0002_tenant_by_composite_keys"),
    ]

    operations = [
        migrations.AddIndex(model_name="label", index=models.Index(fields=["id"], name="label_by_id")),
        walls.whose("label", "labels"),
    ]
