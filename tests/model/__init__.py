"""The product over HTTP, side by side with a reference."""

import pytest

pytest.register_assert_rewrite("tests.model.machine", "tests.model.side_by_side")  # a divergence is read, not guessed
