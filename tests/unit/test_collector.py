"""The collector of a busy service, and of whatever runs after it."""

import gc

from iops.collector import rare_collections


def test_a_service_of_many_small_requests_collects_rarely_and_others_as_before() -> None:
    before = gc.get_threshold()

    with rare_collections():
        assert gc.get_threshold() == (20_000, 20, 10)
        assert gc.get_freeze_count() > 0

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
