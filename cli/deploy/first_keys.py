"""The first keys of an empty account: nobody can make a key with the product before there is one."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path
from typing import Final

from botocore.exceptions import ClientError

from iops import contract
from iops.aws import open_client
from iops.clock import now
from iops.peppers import Peppers
from iops.secrets import ManagerSource, SecretUnread, parse_document
from iops.settings import ServiceSettings
from iops.table import Table
from local.errors import SetupFailed
from local.keys import KeyFiles, make_keys

MAKER: Final = "make deploy"
CALL_TIMEOUT_S: Final = 10.0


class NoKeys(Exception):
    """They could not be made; the sentence says why."""


def key_files(folder: Path) -> KeyFiles:
    """Where they lie, mode 600."""
    return KeyFiles(agent=folder / "agent.key", operator=folder / "operator.token")


def first_keys(region: str, folder: Path) -> KeyFiles:
    """Makes each that is not in its file, or that the table does not know. Raises NoKeys.

    The operator's own AWS credentials may do that: they read the pepper and write two rows each, the key and its deed.
    """
    files = key_files(folder)
    # Nothing of this shell: IOPS_AWS_ENDPOINT_URL may still lead to a laptop's stand-in.
    settings = ServiceSettings(aws_region=region, aws_timeout_s=CALL_TIMEOUT_S, aws_endpoint_url=None)
    asyncio.run(make_first_keys(settings, files))
    return files


async def make_first_keys(settings: ServiceSettings, files: KeyFiles) -> None:
    """The same, where `settings` lead. Raises NoKeys."""
    try:
        async with open_client("secretsmanager", settings) as manager, open_client("dynamodb", settings) as dynamodb:
            peppers = parse_document(await ManagerSource(manager, contract.PEPPER_SECRETS).read(), Peppers)
            await make_keys(Table(dynamodb), peppers, files, now(), secrets.token_bytes, maker=MAKER)
    except SetupFailed as error:
        raise NoKeys(str(error)) from error
    except SecretUnread as error:
        raise NoKeys(error.detail) from error
    except ClientError as error:  # no right to the secret or the table, or no such table
        raise NoKeys(f"the first keys: {error}") from error
