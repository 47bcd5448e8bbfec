"""What the committed model says of the golden vectors: `python -m tests.margins` writes it, after `make model`."""

import json
from pathlib import Path
from typing import Final

import numpy as np

from iops.model import Model
from tests.vectors import PATH as VECTORS

PATH: Final = VECTORS.with_name("margins.json")
COMMITTED: Final = Path(__file__).parents[1] / "ml" / "model"


def margins_of(model: Model) -> dict[str, list[float]]:
    """The margins of each case of the golden file, disk by disk."""
    cases = json.loads(VECTORS.read_text())["cases"]
    return {
        case["name"]: [round(value, 5) for value in model.margins(np.array(case["vectors"], np.float32)).tolist()]
        for case in cases
    }


def main() -> None:
    """Writes the file."""
    model = Model(COMMITTED)
    PATH.write_text(json.dumps({"version": model.card.version, "margins": margins_of(model)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
