"""The suite's asserts are rewritten like those of the test files that run it."""

import pytest

pytest.register_assert_rewrite("tests.ledger.builders", "tests.ledger.store_suite")
