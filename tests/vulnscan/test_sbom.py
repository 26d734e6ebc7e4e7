import json
import subprocess
import sys
from pathlib import Path

from advisory_service import requirements

ROOT = Path(__file__).parents[2]


def written(requirements_file: Path, folder: Path) -> dict:
    """The file that the command writes."""
    command = [sys.executable, "-m", "calyapp.vulnscan.sbom", requirements_file, folder / "new" / "sbom.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads((folder / "new" / "sbom.json").read_text())


def test_it_names_every_requirement_with_identifier_and_hashes(tmp_path):
    bom = written(requirements(tmp_path, "anvil==1.0", "hammer==2.0"), tmp_path)

    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert bom["metadata"]["component"]["name"] == "caly"
    assert [component["purl"] for component in bom["components"]] == ["pkg:pypi/anvil@1.0", "pkg:pypi/hammer@2.0"]
    (files,) = bom["components"][0]["externalReferences"]
    assert files["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    (of_caly,) = [one for one in bom["dependencies"] if one["ref"] == "caly"]
    assert of_caly["dependsOn"] == ["pkg:pypi/anvil@1.0", "pkg:pypi/hammer@2.0"]


def test_it_is_complete_for_our_own(tmp_path):
    bom = written(ROOT / "requirements.txt", tmp_path)

    assert len(bom["components"]) == (ROOT / "requirements.txt").read_text().count("==")
