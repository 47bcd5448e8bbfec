"""What ingest reads from its environment."""

from pydantic import Field

from iops.settings import ServiceSettings


class IngestSettings(ServiceSettings):
    """A sender waits for its rows, at first sight for its stream's row too: in all well below a balancer's 60 s."""

    body_timeout_s: float = Field(default=10, gt=0, description="for the whole body to arrive")
    store_wait_s: float = Field(default=8, gt=0, description="how long a sender waits for its 202")
    store_deadline_s: float = Field(default=5, gt=0, description="of one BatchWriteItem with its resends")
    store_linger_ms: float = Field(default=2, ge=0, description="how long a write waits for company")
    store_writers: int = Field(default=8, ge=1, le=32, description="BatchWriteItem calls under way at once")
    waiting_samples_limit: int = Field(default=200_000, ge=60_000, description="samples ahead of the table, then 503")
    known_streams_limit: int = Field(default=50_000, ge=1, description="streams remembered as registered")
    log_ratio: float = Field(default=0.01, ge=0, le=1, description="share of the 202s that get a line in the log")
    stream_rate: float = Field(default=10, gt=0, description="requests a second that may speak of one stream")
    stream_burst: float = Field(default=20, ge=1, description="as many at once")
    streams_per_caller: int = Field(default=2_000, ge=1, description="streams that one address may send in an hour")
    counter_streams_limit: int = Field(default=20_000, ge=1, description="streams whose last counters are remembered")
