"""Words as a language model's stand in an insight: `python -m tests.recorded` prints those of three golden records.

The product asks the double of Bedrock over HTTP, which repeats the evidence: they show the way, not a model's skill.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

from bench.ask import open_teller
from bench.explain import read_records, words_of
from services.insights.settings import InsightsSettings
from tests.doubles.bedrock import running_bedrock
from tests.doubles.scenario import Scenario, repeat_evidence

SHOWN: Final = ("demo: fail_slow", "demo: iops_cap", "demo: backup")


async def record() -> list[str]:
    """One paragraph each."""
    told = []
    async with running_bedrock(Scenario(then=repeat_evidence())) as double:
        settings = InsightsSettings(explainers=("bedrock",), bedrock_endpoint_url=double.url)
        async with open_teller(settings, usd=1.0) as tell:
            for each in (each for each in read_records() if each.name in SHOWN):
                said = await tell(each.evidence)
                assert said.words is not None, said.why_not
                paid = f"{said.tokens_in} tokens in, {said.tokens_out} out, ${said.cost_usd:.4f}"
                told.append("\n".join((*words_of(each, said.words), paid)))
    return told


def main() -> None:
    """Prints them."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}  # the double takes any
    sys.stdout.write("\n\n".join(asyncio.run(record())) + "\n")


if __name__ == "__main__":
    main()
