"""Whatever a contract test calls, the answer is held against the OpenAPI schema: every field, every status, every code."""

import re
from typing import Any

import pytest

from convalloc.api.docs import openapi
from tests.conftest import Answer, Api
from tests.schema.answers import breaks


@pytest.fixture(autouse=True)
def every_answer_is_as_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at each answer of an operation that the schema knows; what is no operation (404, 405 of the router) passes."""
    call = Api.call

    def checked(self: Api, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        answer = call(self, method, path, body, **headers)
        template = re.sub(r"/[0-9]{1,19}(?=/|$)", "/{id}", path.split("?")[0].rstrip("/"))
        if method.lower() in openapi()["paths"].get(f"/api/v1{template}", {}):
            assert breaks(answer, method, template) == []
        return answer

    monkeypatch.setattr(Api, "call", checked)
