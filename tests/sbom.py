"""What each program is made of, as CycloneDX 1.6: the same bytes from the same pins; `make sbom` writes .local/sbom."""

import base64
import json
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from tests.pins import PROJECT, Pin, pins_of_file

PROGRAMS: Final = ("ingest", "insights", "alerts", "agent", "cli", "ml", "infra")
ROOT: Final = Path(__file__).parents[1]
PAGES_LOCK: Final = ROOT / "services" / "insights" / "pages" / "package-lock.json"
FOLDER: Final = ROOT / ".local" / "sbom"
NAME_LIMIT = 100  # characters; some packages put the whole text where the licence's name belongs


def document_of(program: str) -> str:
    """A program's SBOM, without what differs from run to run (instant, serial number) and without an address."""
    bom = Bom()
    bom.metadata.component = root = _program(program)
    parts = [(pin, _component(pin)) for pin in pins_of_file(program)]
    bom.components.update(component for _, component in parts)
    if program == "insights":
        pages = list(_page_components())
        bom.components.update(pages)
        bom.register_dependency(root, pages)
    for name, component in [(PROJECT, root), *((pin.name, component) for pin, component in parts)]:
        bom.register_dependency(component, [part for pin, part in parts if name in pin.wanted_by])
    bom.serial_number = bom.metadata.timestamp = None  # type: ignore[assignment] # the schema requires neither
    return JsonV1Dot6(bom).output_as_string(indent=1) + "\n"


def _program(name: str) -> Component:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return Component(
        name=f"{PROJECT}-{name}",
        version=project["version"],
        type=ComponentType.APPLICATION,
        licenses=[LicenseFactory().make_from_string(project["license"])],
        bom_ref=name,
    )


def _component(pin: Pin) -> Component:
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    return Component(
        name=pin.name,
        version=pin.version,
        purl=purl,
        bom_ref=str(purl),
        # A pin has a hash per file. CycloneDX would put these under a download address, of which we hold none.
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=content) for content in pin.hashes],
        licenses=list(_licences(pin)),
    )


def _page_components() -> Iterator[Component]:
    """What pages load from npm; not what only their tests use."""
    for path, package in json.loads(PAGES_LOCK.read_text())["packages"].items():
        if not path or package.get("dev"):
            continue
        name = path.removeprefix("node_modules/")
        purl = PackageURL("npm", name=name, version=package["version"])
        digest = base64.b64decode(package["integrity"].removeprefix("sha512-")).hex()
        yield Component(
            name=name,
            version=package["version"],
            purl=purl,
            bom_ref=str(purl),
            hashes=[HashType(alg=HashAlgorithm.SHA_512, content=digest)],
            licenses=[LicenseFactory().make_from_string(package["license"])],
        )


def _licences(pin: Pin) -> Iterator[License]:
    """What the package installed beside us says of itself; nothing where another platform's pin is not installed."""
    try:
        said = metadata.metadata(pin.name)
    except metadata.PackageNotFoundError:
        return
    if said["Version"] != pin.version:
        return
    name = next((said[key] for key in ("License-Expression", "License") if key in said), "")
    make = LicenseFactory().make_from_string
    if name and "\n" not in name and len(name) <= NAME_LIMIT:
        yield make(name)
    else:
        kinds = sorted({c.split(" :: ")[-1] for c in said.get_all("Classifier") or () if c.startswith("License :: ")})
        yield from (make(kind) for kind in kinds)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in PROGRAMS:
        (FOLDER / f"{each}.cdx.json").write_text(document_of(each))
