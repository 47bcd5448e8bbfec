"""`python -m local.setup`: makes, in containers, what the services expect to find, and the keys of this machine."""

import asyncio
import json
import secrets
import sys
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from pydantic_settings import BaseSettings, SettingsConfigDict

from iops import clock
from iops.table import Table
from local.errors import CannotRun, SetupFailed
from local.keys import KeyFiles, make_keys, read_peppers
from local.resources import create_resources, open_client
from local.secrets import make_secrets

DEADLINE_S: Final = 60.0  # of all of it, which takes one or two


class SetupSettings(BaseSettings):
    """From IOPS_LOCAL_*."""

    model_config = SettingsConfigDict(env_prefix="IOPS_LOCAL_", frozen=True, extra="ignore")

    aws_endpoint_url: str
    table_url: str
    mail_url: str
    state_dir: Path  # secrets and keys stay there; the stand-in forgets everything at its end


async def set_up(settings: SetupSettings) -> None:
    """Safe to repeat: what is there stays. Raises SetupFailed."""
    secrets_file = settings.state_dir / "secrets.json"
    key_files = KeyFiles(
        agent=settings.state_dir / "agent" / "agent.key",
        operator=settings.state_dir / "operator.token",
        viewer=settings.state_dir / "grafana" / "viewer.key",
    )
    make_secrets(secrets_file, clock.now(), secrets.token_bytes)
    peppers = await read_peppers(secrets_file)
    await create_resources(settings.aws_endpoint_url, mail_url=settings.mail_url, table_url=settings.table_url)
    await _create_secrets(settings.aws_endpoint_url, secrets_file)
    async with open_client("dynamodb", settings.table_url) as dynamodb:
        await make_keys(Table(dynamodb), peppers, key_files, clock.now(), secrets.token_bytes)


async def _create_secrets(endpoint_url: str, secrets_file: Path) -> None:
    """The documents of the file in Secrets Manager, where the services read them as in AWS."""
    documents: dict[str, Any] = json.loads(await asyncio.to_thread(secrets_file.read_bytes))
    try:
        async with open_client("secretsmanager", endpoint_url) as manager:
            for name, document in documents.items():
                try:
                    await manager.create_secret(Name=name, SecretString=json.dumps(document))
                except manager.exceptions.ResourceExistsException:
                    continue  # what somebody has set stays
    except (ClientError, BotoCoreError) as error:
        raise SetupFailed(f"the secrets in {endpoint_url} could not be created: {type(error).__name__}") from error


async def _main() -> None:
    async with asyncio.timeout(DEADLINE_S):
        await set_up(SetupSettings())


if __name__ == "__main__":
    try:
        asyncio.run(_main())
    except (CannotRun, TimeoutError, OSError) as error:
        sys.exit(f"local.setup: {error!r}")
