"""What alerts reads from its environment."""

from pydantic import Field

from iops.settings import ServiceSettings


class AlertsSettings(ServiceSettings):
    """A lease outlives the longest pass, so that two replicas never work on one row."""

    poll_s: float = Field(default=0.5, gt=0, description="between two looks at the outbox: half a read unit each")
    lease_s: float = Field(default=30, gt=0, description="how long a row stays with a replica that died")
    canary: bool = Field(default=True, description="send a mail a day through the whole path, and watch for it")
    canary_hour_utc: int = Field(default=9, ge=0, le=23, description="in this hour of the day")
