"""What insights reads from its environment."""

from pathlib import Path
from typing import Final

from pydantic import Field

from iops.settings import ServiceSettings

MODEL_DIR: Final = Path(__file__).parents[2] / "ml" / "model"


class InsightsSettings(ServiceSettings):
    """With its profile, an hour at one sample in 2 s is 235 KB, so 1,000 of them are 235 MB."""

    scoring_workers: int = Field(default=4, ge=1, le=32, description="peer groups scored at once")
    windows_limit: int = Field(default=1_000, ge=1, description="streams whose window is kept in memory")
    model_dir: Path = Field(default=MODEL_DIR, description="the risk model's files; without them only rules score")
    dismissal_quiet_s: float = Field(
        default=86_400, ge=0, le=30 * 86_400, description="how long a dismissed kind of trouble of a stream is not told"
    )
    sagemaker_percent: float = Field(default=0, ge=0, le=100, description="share of the streams the endpoint scores")
    sagemaker_shadow: bool = Field(
        default=False, description="ask the endpoint for that share, but serve the local score"
    )
