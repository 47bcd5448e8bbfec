"""`python -m local.grafana`: writes the dashboards as Grafana reads them; `make grafana` commits what changed."""

from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from local.grafana import aws, fleet, services, stream

FOLDER: Final = Path(__file__).parent / "dashboards"


def documents() -> dict[str, str]:
    """Each file's text by its name without `.json`."""
    made = {"fleet": fleet.make(), "stream": stream.make(), "services": services.make(), "aws": aws.make()}
    encoder = JSONEncoder(sort_keys=True, indent=1)
    return {name: encoder.encode(page.build()) + "\n" for name, page in made.items()}


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / f"{name}.json").write_text(text)
