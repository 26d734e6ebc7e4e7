import json
import subprocess
import sys
from pathlib import Path

from advisory_service import requirements

ROOT = Path(__file__).parents[2]


def write_sbom(requirements_file: Path, folder: Path) -> dict:
    """Runs the command, and returns the file that it writes."""
    command = [sys.executable, "-m", "calyapp.vulnscan.sbom", requirements_file, folder / "new" / "sbom.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads((folder / "new" / "sbom.json").read_text())


def test_contains_every_requirement_with_purl_and_hashes(tmp_path):
    bom = write_sbom(requirements(tmp_path, "anvil==1.0", "hammer==2.0"), tmp_path)

    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["name"] == "caly"
    assert [component["purl"] for component in bom["components"]] == ["pkg:pypi/anvil@1.0", "pkg:pypi/hammer@2.0"]
    (files,) = bom["components"][0]["externalReferences"]
    assert files["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    (caly,) = [dependency for dependency in bom["dependencies"] if dependency["ref"] == "caly"]
    assert caly["dependsOn"] == ["pkg:pypi/anvil@1.0", "pkg:pypi/hammer@2.0"]


def test_contains_all_our_own_requirements(tmp_path):
    bom = write_sbom(ROOT / "requirements.txt", tmp_path)

    assert len(bom["components"]) == (ROOT / "requirements.txt").read_text().count("==")
