"""What insights reads from its environment."""

from pydantic import Field

from iops.settings import ServiceSettings


class InsightsSettings(ServiceSettings):
    """A window of an hour at one sample in 2 s is 190 KB, so 1,000 of them are 190 MB."""

    scoring_workers: int = Field(default=4, ge=1, le=32, description="peer groups scored at once")
    windows_limit: int = Field(default=1_000, ge=1, description="streams whose window is kept in memory")
