"""The key of a server of chat completions: read only where one is asked, and never shown."""

from pathlib import Path

import pytest

from iops.contract import INSIGHTS_SECRETS
from iops.observability import Metrics
from iops.secrets import SecretUnread
from services.insights.model_secrets import ModelSecrets, open_model_secrets
from services.insights.settings import InsightsSettings
from tests.secret_documents import write_secrets


def with_openai(path: Path) -> InsightsSettings:
    return InsightsSettings(
        explainers=("openai",), openai_base_url="http://model/v1", openai_model="small", secrets_file=path
    )


async def key_of(path: Path, document: object) -> ModelSecrets:
    write_secrets(path, {INSIGHTS_SECRETS: document})
    async with open_model_secrets(with_openai(path), Metrics()) as secrets:
        assert secrets is not None
        return secrets.current


async def test_the_key_is_read_and_not_shown(tmp_path: Path) -> None:
    found = await key_of(tmp_path / "secrets.json", {"openai_api_key": "sk-verysecret"})

    assert found.openai_api_key is not None
    assert found.openai_api_key.get_secret_value() == "sk-verysecret"
    assert "verysecret" not in f"{found!r}{found}{found.model_dump()}{found.model_dump_json()}"


@pytest.mark.parametrize("document", [{}, {"openai_api_key": None}])
async def test_a_local_server_may_need_no_key(tmp_path: Path, document: object) -> None:
    assert (await key_of(tmp_path / "secrets.json", document)).openai_api_key is None


async def test_without_openai_nothing_is_read(tmp_path: Path) -> None:
    settings = InsightsSettings(explainers=("bedrock",), secrets_file=tmp_path / "missing.json")
    async with open_model_secrets(settings, Metrics()) as secrets:
        assert secrets is None


@pytest.mark.parametrize("key", ["sk-secret\n", "sk secret", "sk-sécret", "sk-\x00secret", ""])
async def test_a_key_that_no_header_can_carry_is_refused_unseen(tmp_path: Path, key: str) -> None:
    with pytest.raises(SecretUnread, match=r"'openai_api_key': .* no header can carry") as refused:
        await key_of(tmp_path / "secrets.json", {"openai_api_key": key})

    assert "sk" not in repr(refused.value)
