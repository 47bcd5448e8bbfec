"""Infra's tests reach no cloud and ask for no credentials."""

import warnings
from collections.abc import Iterator

import pulumi_aws as aws
import pytest


@pytest.fixture(scope="session", autouse=True)
def _modules_that_warn_are_loaded() -> None:
    """pulumi-aws loads its modules when they are first named, and some warn of themselves."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        _ = aws.s3.Bucket, aws.lambda_.Function


@pytest.fixture(scope="session", autouse=True)
def _outputs_are_no_strings() -> Iterator[None]:
    """An output in an f-string raises, instead of declaring something called `Calling __str__ on an Output...`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PULUMI_ERROR_OUTPUT_STRING", "true")
        yield
