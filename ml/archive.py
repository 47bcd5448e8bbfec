"""model.tar.gz as SageMaker unpacks it: the model's files, the script that answers with them, and a probe."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from iops.features import FEATURE_SET_ID, NAMES
from iops.model import FILES, Model

SCRIPT: Final = Path(__file__).with_name("inference.py")
SCRIPT_DIRECTORY: Final = "code"  # where the container looks for it
PROBE_FILE: Final = "probe.json"
PROBE_ROWS: Final = 16
UNKNOWN_RATIO: Final = 0.2  # of a probe's features: most windows lack some


@dataclass(frozen=True, slots=True)
class Archive:
    """One model, packaged; the same model gives the same bytes, and so the same names in the cloud."""

    model_version: str
    content: bytes

    @property
    def digest(self) -> str:
        """The name of the content: 12 hex digits."""
        return hashlib.sha256(self.content).hexdigest()[:12]


def pack_model(directory: Path) -> Archive:
    """The model in `directory`, ready for a container. Raises iops.model.UnfitModel."""
    model = Model(directory)
    files = {name: (directory / name).read_bytes() for name in FILES}
    files[PROBE_FILE] = make_probe(model)
    files[f"{SCRIPT_DIRECTORY}/{SCRIPT.name}"] = SCRIPT.read_bytes()
    return Archive(model.card.version, pack(files))


def pack(files: Mapping[str, bytes]) -> bytes:
    """A .tar.gz that depends on nothing but names and contents: no times, owners or order."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)  # epoch 0, root, 0644
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0)


def make_probe(model: Model) -> bytes:
    """Vectors, and what this model says of them here; a container that says otherwise refuses to serve."""
    rng = np.random.default_rng(0)
    features = rng.normal(scale=3, size=(PROBE_ROWS, len(NAMES))).astype(np.float32)
    features[rng.random(features.shape) < UNKNOWN_RATIO] = np.nan
    raw = model.predict(features)
    answers = {part: getattr(raw, part).round(6).tolist() for part in raw.__slots__}
    known = [[None if value != value else value for value in row] for row in features.tolist()]
    return json.dumps({"feature_set_id": FEATURE_SET_ID, "features": known, **answers}).encode()
