"""What insights reads from its environment."""

from pathlib import Path
from typing import Final

from pydantic import Field

from iops.contract import RISK_ENDPOINT
from iops.settings import ServiceSettings

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
