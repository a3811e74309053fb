from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0007_tenant_by_composite_keys"),
    ]

    operations = [
        migrations.AddField(model_name="tick", name="failed_at", field=models.DateTimeField(null=True)),
        migrations.AddField(model_name="tick", name="failure", field=models.TextField(db_default="")),
    ]
