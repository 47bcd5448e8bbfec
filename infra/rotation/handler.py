"""Rotates the pepper that API keys are hashed with: Secrets Manager calls it, four times a rotation.

Lambda's Python has boto3 and no pydantic, so this one file is the whole function, and tests hold it to `iops.peppers`.
No value is logged, returned, or quoted in an error.
"""

from __future__ import annotations

import binascii
import json
import re
import secrets
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import boto3  # type: ignore[import-untyped]
from botocore.config import Config

VALUE_BYTES: Final = 32
KEPT: Final = 3  # peppers after a rotation, as iops.peppers has it
PEPPER_ID: Final = re.compile(r"[a-z0-9-]{1,32}")
CURRENT: Final = "AWSCURRENT"
PENDING: Final = "AWSPENDING"
TIMEOUTS: Final = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3})

Document = dict[str, Any]
RandomBytes = Callable[[int], bytes]


class RotationRefused(Exception):
    """What is wrong with a request or a document; never a value."""


def handle(event: Mapping[str, str], _: object) -> None:
    """Lambda's entry."""
    client = boto3.client("secretsmanager", config=TIMEOUTS)
    rotate(client, event, now=datetime.now(UTC), random_bytes=secrets.token_bytes)


def rotate(client: Any, event: Mapping[str, str], *, now: datetime, random_bytes: RandomBytes) -> None:
    """One step; each may come twice. Raises RotationRefused, and then the current peppers stay as they are."""
    secret_id, token, step = event["SecretId"], event["ClientRequestToken"], event["Step"]
    stages = client.describe_secret(SecretId=secret_id).get("VersionIdsToStages", {})
    if CURRENT in stages.get(token, ()):
        return  # a step that comes late: the rotation is over
    if PENDING not in stages.get(token, ()):
        raise RotationRefused("this version is not one that is being rotated to")
    if step == "createSecret":
        _create(client, secret_id, token, now=now, random_bytes=random_bytes)
    elif step == "testSecret":
        check(_read(client, secret_id, PENDING, token), _read(client, secret_id, CURRENT))
    elif step == "finishSecret":
        before = next((version for version, names in stages.items() if CURRENT in names), None)
        moved = {"RemoveFromVersionId": before} if before else {}
        client.update_secret_version_stage(SecretId=secret_id, VersionStage=CURRENT, MoveToVersionId=token, **moved)
    elif step != "setSecret":  # nobody else holds a pepper, so there is nobody to set it at
        raise RotationRefused("there is no such step")


def add_pepper(before: Document | None, *, now: datetime, random_bytes: RandomBytes) -> Document:
    """A new one at the end, and of all the last three; None where the secret never had a value."""
    kept = before["peppers"] if before else []
    pepper_id = f"{now:%Y-%m}-{random_bytes(3).hex()}"
    value = urlsafe_b64encode(random_bytes(VALUE_BYTES)).decode()
    return {"peppers": [*kept, {"id": pepper_id, "value": value}][-KEPT:]}


def check(after: Document | None, before: Document | None) -> None:
    """Whether services can read it, and still know the keys of the last months. Raises RotationRefused."""
    if after is None:
        raise RotationRefused("the new version has no value")
    peppers = after.get("peppers")
    if not isinstance(peppers, list) or not 0 < len(peppers) <= KEPT or not all(map(_is_pepper, peppers)):
        raise RotationRefused("the new version is no list of peppers")
    if len({each["id"] for each in peppers}) < len(peppers):
        raise RotationRefused("each pepper needs an id of its own")
    kept = before["peppers"][-(KEPT - 1) :] if before else []
    if peppers[:-1] != kept:
        raise RotationRefused("the new version does not keep the last peppers")


def _create(client: Any, secret_id: str, token: str, *, now: datetime, random_bytes: RandomBytes) -> None:
    """A value once put for a token cannot be another one, so it is not made twice."""
    if _read(client, secret_id, PENDING, token) is not None:
        return
    before = _read(client, secret_id, CURRENT)
    document = json.dumps(add_pepper(before, now=now, random_bytes=random_bytes))
    client.put_secret_value(
        SecretId=secret_id, ClientRequestToken=token, SecretString=document, VersionStages=[PENDING]
    )


def _read(client: Any, secret_id: str, stage: str, version: str | None = None) -> Document | None:
    """None where there is no such version, or no value in it yet. Raises RotationRefused."""
    which = {"VersionId": version} if version else {}
    try:
        reply = client.get_secret_value(SecretId=secret_id, VersionStage=stage, **which)
    except client.exceptions.ResourceNotFoundException:
        return None
    return _parsed(reply["SecretString"]) if "SecretString" in reply else None


def _parsed(text: str) -> Document:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if isinstance(document, dict) and isinstance(document.get("peppers"), list):
        return document
    raise RotationRefused("the secret is no document of peppers")  # not inside: the error quotes it


def _is_pepper(entry: object) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"id", "value"}:
        return False
    return PEPPER_ID.fullmatch(str(entry["id"])) is not None and len(_decoded(str(entry["value"]))) == VALUE_BYTES


def _decoded(value: str) -> bytes:
    """Nothing where it is no base64url."""
    try:
        return b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
