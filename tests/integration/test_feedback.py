"""An operator's word on its whole way: through the door into the table, and out of it as a label to learn from."""

from datetime import timedelta
from pathlib import Path

import pytest

from iops import items
from iops.clock import now
from iops.insight import PredictionType
from iops.risk import KINDS
from iops.settings import ServiceSettings
from iops.table import open_table
from local import resources
from ml.export import export_table, open_reader
from ml.exported import Folder, exported_hosts
from ml.hosts import UNKNOWN
from tests.integration.examples import an_insight, some_samples
from tests.integration.test_insights import DISK, insights_service, store


@pytest.mark.parametrize(
    ("body", "incident", "kind"),
    [
        ({"verdict": "confirm"}, 1, PredictionType.STALL),
        ({"verdict": "dismiss", "text": "a backup"}, 0, None),
        ({"verdict": "wrong_cause", "prediction_type": "fail_slow"}, 1, PredictionType.FAIL_SLOW),
        ({"verdict": "wrong_cause"}, 1, None),
    ],
    ids=str,
)
async def test_feedback_that_was_posted_is_in_an_export(
    settings: ServiceSettings, tmp_path: Path, body: dict[str, str], incident: int, kind: PredictionType | None
) -> None:
    url = settings.aws_endpoint_url
    assert url is not None
    end = now() - timedelta(minutes=5)
    insight = an_insight(DISK, created_at=end)
    async with open_table(settings) as table:
        await store(table, some_samples(600, begin=end - timedelta(minutes=10)))
        await table.put(items.insight_item(insight))

    async with insights_service(url) as client:
        for _ in range(2):
            answer = await client.post(f"/insights/{insight.insight_id}/feedback", json=body)
            assert answer.status_code == 201, answer.text
        (said,) = (await client.get(f"/insights/{insight.insight_id}")).json()["feedback"]
        stream = (await client.get(f"/streams/{DISK}")).json()
    assert said == answer.json()
    assert [quiet["until"] for quiet in stream["quiet"]] == ([said["quiet_until"]] if incident == 0 else [])

    async with open_reader(endpoint_url=url, region=resources.REGION, workers=2) as reader:
        folder = Folder(str(tmp_path))
        outcome = await export_table(reader, folder, since=end - timedelta(hours=1), until=end, jobs_at_once=1)
    assert (outcome.labels, outcome.orphans) == (1, 0)
    (label,) = folder.labels()
    assert (label.stream_id, label.incident, label.kind) == (
        DISK,
        incident,
        UNKNOWN if kind is None else KINDS.index(kind),
    )
    (host,) = exported_hosts(str(tmp_path))
    assert (host.incident == incident).any()
