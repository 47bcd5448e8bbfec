"""The first keys of an empty account, made with Secrets Manager and the table alone."""

import json
import secrets
from pathlib import Path

import pytest

from cli.deploy.first_keys import NoKeys, key_files, make_first_keys
from iops import contract, items
from iops.auth import Role
from iops.aws import open_client
from iops.clock import now
from iops.keys import digest_of, key_id_of
from iops.peppers import Peppers, first_peppers
from iops.settings import ServiceSettings
from iops.table import Table


async def a_pepper(settings: ServiceSettings) -> Peppers:
    peppers = first_peppers(now(), secrets.token_bytes)
    async with open_client("secretsmanager", settings) as manager:
        await manager.create_secret(Name=contract.PEPPER_SECRETS, SecretString=json.dumps(peppers.reveal()))
    return peppers


async def test_an_empty_account_gets_an_admin_and_an_agent_once(settings: ServiceSettings, tmp_path: Path) -> None:
    files = key_files(tmp_path)
    with pytest.raises(NoKeys, match=contract.PEPPER_SECRETS):
        await make_first_keys(settings, files)

    peppers = await a_pepper(settings)
    await make_first_keys(settings, files)
    admin = files.operator.read_bytes().strip()
    await make_first_keys(settings, files)

    assert files.operator.read_bytes().strip() == admin
    assert files.operator.stat().st_mode & 0o077 == 0
    key_id = key_id_of(admin)
    assert key_id is not None
    async with open_client("dynamodb", settings) as dynamodb:
        row = await Table(dynamodb).get(items.api_key_key(key_id))
    assert row is not None
    kept = items.item_to_api_key(row)
    assert (kept.role, kept.created_by) == (Role.ADMIN, "make deploy")
    assert kept.secrets[0].digest == digest_of(admin, peppers.current).hex()
