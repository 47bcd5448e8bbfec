"""What the agent can be told, and what it refuses to be told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from agent.settings import AgentSettings


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in AgentSettings.model_fields:
        monkeypatch.delenv(f"IOPS_{name.upper()}", raising=False)


def test_the_defaults_suit_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/home/ann/state")
    settings = AgentSettings()

    assert (settings.url, settings.interval_s, settings.batch_samples) == ("http://127.0.0.1:8080", 2.0, 30)
    assert settings.spool_dir == Path("/home/ann/state/iops-agent")


def test_everything_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOPS_URL", "https://iops.example.com/")
    monkeypatch.setenv("IOPS_DEVICES", "vda, dm-0")
    monkeypatch.setenv("IOPS_LABELS", '{"volume_type": "gp3"}')
    settings = AgentSettings()

    assert settings.url == "https://iops.example.com"
    assert (settings.devices, settings.labels) == (("vda", "dm-0"), {"volume_type": "gp3"})


def test_a_host_name_is_cleaned_to_what_a_stream_id_may_hold() -> None:
    assert AgentSettings(host="_ann's laptop").host == "ann-s-laptop"


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "iops.example.com"},
        {"url": "ftp://iops.example.com"},
        {"url": "https://ann:secret@iops.example.com"},
        {"url": "http://[::1"},
        {"interval_s": 0.0},
        {"batch_samples": 1_001},
        {"labels": {"a b": "c"}},
        {"peer_group": "a#b"},
        {"provisioned_iops": 0.0},
    ],
)
def test_what_the_server_would_refuse_is_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AgentSettings(**wrong)


def test_the_key_is_not_shown() -> None:
    assert "iops_lab_1" not in repr(AgentSettings(api_key=SecretStr("iops_lab_1")))
