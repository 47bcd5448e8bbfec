"""What every command of `iops` reads from its environment, and where it keeps what it must remember."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def _config_dir() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "iops"


class CliSettings(BaseSettings):
    """Who asks."""

    model_config = SettingsConfigDict(env_prefix="IOPS_", frozen=True, extra="ignore", hide_input_in_errors=True)

    api_key: SecretStr | None = Field(default=None, description="proves who asks: an API key, or a person's token")
    api_key_file: Path | None = Field(default=None, description="has that in it, and only its owner can read it")
    config_dir: Path = Field(default_factory=_config_dir, description="what `iops login` keeps")
