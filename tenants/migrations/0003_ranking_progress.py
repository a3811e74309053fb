from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0002_capacity"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="ranking_run",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="ranking_done",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="ranking_total",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="tenant",
            name="ranking_started_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="tenant",
            name="ranking_moved_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
