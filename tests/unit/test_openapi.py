"""The committed OpenAPI documents are what the services answer to."""

import pytest

from tests.openapi import FOLDER, SERVICES, document_of


@pytest.mark.parametrize("service", SERVICES)
def test_the_committed_document_is_the_services_own(service: str) -> None:
    assert (FOLDER / f"{service}.json").read_text() == document_of(service), "run `make openapi` and commit it"


@pytest.mark.parametrize("service", SERVICES)
def test_every_reference_in_the_document_leads_somewhere(service: str) -> None:
    document = document_of(service)
    names = {part.split('"')[0] for part in document.split("#/components/schemas/")[1:]}

    assert names, "a document without schemas describes nothing"
    for name in names:
        assert f'\n   "{name}": {{' in document, name
