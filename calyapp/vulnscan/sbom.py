"""`python -m calyapp.vulnscan.sbom REQUIREMENTS FILE` writes the bill of materials of Caly, in the CycloneDX format.

It needs requirements-scan.txt. pip-audit can write one too, but needs an advisory service for it, and leaves out
identifiers (purl) and hashes.
"""

import sys
from pathlib import Path

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

import calyapp
from calyapp import atomic_file
from calyapp.vulnscan import archive
from calyapp.vulnscan.requirements import Pin, pins


def bill_of_materials(requirements: list[Pin]) -> str:
    """Returns CycloneDX 1.6 in JSON: Caly, and each required package with the hashes of its files."""
    caly = Component(name="caly", version=calyapp.__version__, type=ComponentType.APPLICATION, bom_ref="caly")
    components = [_component(pin) for pin in requirements]
    bom = Bom(metadata=BomMetaData(component=caly), components=components)
    bom.register_dependency(caly, components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def _component(pin: Pin) -> Component:
    purl = PackageURL("pypi", name=pin.name, version=pin.version)
    # Not hashes of the component, because a package has several files and a hash for each.
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(purl.to_string()),
        comment="SHA-256 of each file that may be installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in pin.hashes],
    )
    return Component(
        name=pin.name,
        version=pin.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=purl.to_string(),
        external_references=[files],
    )


def main(requirements: Path, file: Path) -> None:
    """Writes the file, and prints the number of packages."""
    required = pins(requirements)
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    atomic_file.write(file, bill_of_materials(required).encode() + b"\n", archive.MODE)
    print(f"{file}: {len(required)} packages")  # noqa: T201 — a command


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
