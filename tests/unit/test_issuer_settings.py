"""Which issuers a service starts with."""

import pytest

from iops.settings import ServiceSettings
from tests.unit.signing import ISSUER


@pytest.mark.parametrize(
    "variables",
    [
        {"ISSUER": ISSUER},
        {"ISSUER": "http://id.example.com", "CLIENT_IDS": "a"},
        {"ISSUER": "http://127.0.0.1.example.com", "CLIENT_IDS": "a"},
        {"ISSUER": "id.example.com", "CLIENT_IDS": "a"},
        {"ISSUER": "https://[", "CLIENT_IDS": "a"},
        {"ISSUER": ISSUER, "CLIENT_IDS": "a", "JWKS_URL": "file:///etc/passwd"},
    ],
)
def test_an_unsafe_issuer_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"IOPS_{name}", value)

    with pytest.raises(ValueError, match=r"IOPS_CLIENT_IDS|https"):
        ServiceSettings()


def test_clients_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_ISSUER", "http://[::1]:4566/pool")
    monkeypatch.setenv("IOPS_CLIENT_IDS", "web, cli")

    assert ServiceSettings().client_ids == ("web", "cli")
