"""No key to the tenant beside the composite ones: see tenants.models.TenantOwned."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("labels", "0001_initial"),
        ("tenants", "0007_tenant_by_composite_keys"),
    ]

    operations = [
        migrations.AlterField(
            model_name="label",
            name="tenant",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                editable=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="tenants.tenant",
            ),
        ),
    ]
