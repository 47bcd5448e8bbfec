"""What insights reads from its environment."""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import NoDecode

from iops.contract import RISK_ENDPOINT
from iops.settings import ServiceSettings, is_safe
from services.insights import profiles

MODEL_DIR: Final = Path(__file__).parents[2] / "ml" / "model"


class InsightsSettings(ServiceSettings):
    """With its profile, an hour at one sample in 2 s is 235 KB, so 1,000 of them are 235 MB."""

    scoring_workers: int = Field(default=4, ge=1, le=32, description="peer groups scored at once")
    windows_limit: int = Field(default=1_000, ge=1, description="streams whose window is kept in memory")
    model_dir: Path = Field(default=MODEL_DIR, description="the risk model's files; without them only rules score")
    sagemaker_endpoint: str | None = Field(
        default=None, min_length=1, description=f"`ml deploy` makes {RISK_ENDPOINT}; unset, none is ever asked"
    )
    dismissal_quiet_s: float = Field(
        default=86_400, ge=0, le=30 * 86_400, description="how long a dismissed kind of trouble of a stream is not told"
    )
    sagemaker_shadow: bool = Field(
        default=False,
        description="ask the endpoint for the flag's share, but serve the local score; ten times the work of scoring",
    )
    flags_file: Path | None = Field(default=None, description="unset, the flags are read from SSM")
    flags_interval_s: float = Field(default=30, gt=0, description="between two reads of the flags")
    explainers: Annotated[tuple[Literal["bedrock", "openai"], ...], NoDecode] = Field(
        default=(), description="language models to ask, in this order: bedrock, openai; none, and the template words"
    )
    bedrock_model: str = Field(default=profiles.DEFAULT, description=f"one of {', '.join(profiles.PROFILES)}")
    bedrock_endpoint_url: str | None = Field(default=None, description="instead of AWS's own, also of the stand-in's")
    openai_base_url: str | None = Field(
        default=None, pattern=r"^https?://", description="of a local model server or a gateway, with its /v1"
    )
    openai_model: str | None = Field(default=None, description="as that server calls it")
    openai_usd_per_m_tokens_in: float = Field(default=0, ge=0, description="what a million tokens sent cost")
    openai_usd_per_m_tokens_out: float = Field(default=0, ge=0, description="and a million answered")
    hosted_ui_url: str | None = Field(
        default=None, description="where the user pool's people sign in; unset, browsers come by `iops open`"
    )

    @field_validator("explainers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """`bedrock,openai` is how a shell says it."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("hosted_ui_url")
    @classmethod
    def _passwords_go_a_safe_way(cls, value: str | None) -> str | None:
        if value is not None and not is_safe(value):
            raise ValueError("it has to begin with https://; http:// is for this machine's own addresses")
        return value

    @model_validator(mode="after")
    def _signing_in_needs_an_issuer(self) -> Self:
        if self.hosted_ui_url is not None and self.issuer is None:
            raise ValueError("IOPS_HOSTED_UI_URL needs IOPS_ISSUER, whose tokens it brings")
        return self

    @model_validator(mode="after")
    def _openai_needs_a_place(self) -> Self:
        if "openai" in self.explainers and not (self.openai_base_url and self.openai_model):
            raise ValueError("explainers: openai needs IOPS_OPENAI_BASE_URL and IOPS_OPENAI_MODEL")
        return self
