"""When an operator last gave a sign of life. A third of each page stays free, so that heartbeats write rows in place."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("operators", "0005_presence_history"),
        ("tenants", "0006_leases"),
    ]

    operations = [
        migrations.AddField(
            model_name="operatorstatus",
            name="seen_at",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="last sign of life"),
        ),
        migrations.RunSQL(
            "ALTER TABLE operator_status SET (fillfactor = 67)",
            reverse_sql="ALTER TABLE operator_status RESET (fillfactor)",
        ),
    ]
