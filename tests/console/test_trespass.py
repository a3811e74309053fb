"""Who opens a page of another tenant's row sees none, and it is noted."""

from typing import Any

import pytest

from tests.conftest import Cast
from tests.contract.test_other_tenant import NO_SUCH_ID
from tests.security.test_trespass import by, noted


@pytest.mark.parametrize("page", ["change", "delete"])
def test_another_tenants_page_is_a_404_and_noted_and_one_that_nobody_has_is_no_trespass(
    cast: Cast, neighbours: Cast, browse: Any, caplog: pytest.LogCaptureFixture, page: str
) -> None:
    browser, theirs = browse(cast.ada), neighbours.label()
    caplog.clear()  # signing in is noted too

    pages = [browser.get(f"/admin/labels/label/{id_}/{page}/") for id_ in (NO_SUCH_ID, theirs.pk)]

    assert [shown.status_code for shown in pages] == [404, 404]
    facts = {"what": "label", "id": theirs.pk, "of_tenant_id": neighbours.tenant.pk}
    assert noted(caplog) == [by(cast.ada, f"admin:labels_label_{page}", code="another_tenants", **facts)]
