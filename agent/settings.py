"""Everything the agent can be told, from IOPS_* variables or the command line."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Annotated

import httpx
from pydantic import AfterValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from agent.devices import name_to_id
from iops.contract import BATCH_SAMPLES_LIMIT
from iops.telemetry import LabelName, LabelValue, StreamId


def _server_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL as error:
        raise ValueError(f"is no URL: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise ValueError("must be like https://iops.example.com, without user, password or query")
    return text.rstrip("/")


def _state_dir() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "iops-agent"


class AgentSettings(BaseSettings):
    """What to read, how often, and where to send it."""

    model_config = SettingsConfigDict(env_prefix="IOPS_", frozen=True, hide_input_in_errors=True)

    url: Annotated[str, AfterValidator(_server_url), Field(description="Where it sends to")] = "http://127.0.0.1:8080"
    api_key: SecretStr | None = Field(None, description="Sent as X-API-Key")
    api_key_file: Path | None = Field(None, description="Has the key where api_key is not set; read again after a 401")
    host: Annotated[StreamId, Field(max_length=120)] = Field(
        default_factory=socket.gethostname, validate_default=True, description="The streams' name before the colon"
    )
    peer_group: StreamId | None = Field(
        None, description="Streams that should behave alike; None is those of this host"
    )
    labels: Annotated[
        dict[LabelName, LabelValue], Field(max_length=16, description='JSON, of each stream: {"volume_type": "gp3"}')
    ] = {}
    provisioned_iops: Annotated[float, Field(ge=1, le=1e8)] | None = Field(None, description="What each volume may do")
    devices: Annotated[tuple[str, ...], NoDecode] = Field((), description="vda,dm-0; empty is every whole disk")
    interval_s: Annotated[float, Field(ge=0.1, le=60, description="Between two readings")] = 2.0
    batch_samples: Annotated[int, Field(ge=1, le=BATCH_SAMPLES_LIMIT, description="Sent together")] = 30
    spool_dir: Path = Field(default_factory=_state_dir, description="What waits for the server; one agent each")
    spool_limit_bytes: Annotated[int, Field(ge=0, description="Beyond it the oldest go")] = 64 * 1024 * 1024
    out: Path | None = Field(None, description="Append batches to this file, one a line, instead of sending them")
    proc_root: Path = Field(Path("/proc"), description="Where diskstats is")
    sys_root: Path = Field(Path("/sys"), description="Where block devices are told apart")

    @field_validator("host", mode="before")
    @classmethod
    def _clean_host(cls, host: str) -> str:
        return name_to_id(host)

    @field_validator("devices", mode="before")
    @classmethod
    def _split_devices(cls, devices: str | tuple[str, ...]) -> tuple[str, ...]:
        if isinstance(devices, str):
            return tuple(name.strip() for name in devices.split(",") if name.strip())
        return devices
