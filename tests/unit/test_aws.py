"""What a failure of AWS means: come again, decide again, or it will never work."""

import pytest

from iops.aws import is_passing
from tests.unit.fakes import aws_error


@pytest.mark.parametrize(
    ("reason", "expected"), [("TransactionConflict", True), ("ThrottlingError", True), ("ValidationError", False)]
)
def test_a_transaction_that_is_wrong_in_itself_is_not_tried_again(reason: str, expected: bool) -> None:
    reasons = [{"Code": "None"}, {"Code": reason}]

    assert is_passing(aws_error("TransactionCanceledException", CancellationReasons=reasons)) is expected
