import django.core.validators
from django.db import migrations, models
from tenants import walls


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0005_ticks"),
    ]

    operations = [
        migrations.AddField(
            model_name="tenant",
            name="lease_seconds",
            field=models.PositiveIntegerField(
                blank=True,
                null=True,
                validators=[django.core.validators.MinValueValidator(30), django.core.validators.MaxValueValidator(3600)],
            ),
        ),
        migrations.AddField(
            model_name="tenant",
            name="leases_from",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("lease_seconds__isnull", True), ("lease_seconds__range", (30, 3600)), _connector="OR"),
                name="tenant_lease_range",
            ),
        ),
        migrations.AddConstraint(
            model_name="tenant",
            constraint=models.CheckConstraint(
                condition=models.Q(("lease_seconds__isnull", True), ("leases_from__isnull", False), _connector="OR"),
                name="tenant_leases_begin",
            ),
        ),
        walls.Lookup(
            "tenants_with_leases()",
            returns="SETOF bigint",
            reads="tenants",
            body="SELECT id FROM tenants WHERE lease_seconds IS NOT NULL ORDER BY id",
        ),
    ]
