import sys

import pytest
from advisory_service import advisory, requirements

from calyapp.vulnscan.auditor import audit
from calyapp.vulnscan.report import ScanError, Skipped
from calyapp.vulnscan.requirements import pins


@pytest.fixture
def audited(advisories, tmp_path):
    """`audited(*lines)` returns the audit of these requirements."""

    def run(*lines: str):
        file = requirements(tmp_path, *lines)
        return audit(file, pins(file), f"{advisories.url}/v1/query")

    return run


class TestAudit:
    def test_finds_a_vulnerability_with_all_its_ids_and_the_nearest_fix(self, advisories, audited):
        record = advisory("GHSA-1", "anvil", fixed=("0.9.5", "2.1", "1.0.3"), aliases=["CVE-1", "PYSEC-1"])
        advisories.publish("anvil", "1.0.0", record)

        result = audited("anvil==1.0.0", "hammer==2.0")

        (advisory_found,) = result.advisories
        assert (result.packages, result.skipped, result.unreadable) == (2, (), ())
        assert (advisory_found.package, advisory_found.version, advisory_found.fixed_in) == ("anvil", "1.0.0", "1.0.3")
        assert advisory_found.ids == ("PYSEC-1", "CVE-1", "GHSA-1")
        assert advisory_found.description == "anvil is weak."

    def test_reports_no_fix_if_only_older_branches_have_one(self, advisories, audited):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", fixed=("0.9.5",)))

        assert audited("anvil==1.0").advisories[0].fixed_in is None

    @pytest.mark.parametrize("character", ["\x1b", "\n", "\ud800", "\u202e"])
    def test_replaces_unprintable_characters(self, advisories, audited, character):
        record = advisory("GHSA-1", "anvil", aliases=[f"CVE-{character}"], summary=f"weak{character}PASSED")
        advisories.publish("anvil", "1.0", record)

        (advisory_found,) = audited("anvil==1.0").advisories

        assert sorted(advisory_found.ids) == ["CVE-\ufffd", "GHSA-1"]
        assert advisory_found.description in ("weak PASSED", "weak\ufffdPASSED")

    def test_masks_passwords_in_skipped_requirements(self, audited):
        result = audited("anvil==1.0", "tongs @ https://user:canary@host.example/tongs-1.0-py3-none-any.whl")

        assert result.packages == 1
        assert result.skipped == (Skipped("tongs", "URL requirements cannot be pinned to a specific package version"),)
        bare = audited("anvil==1.0", "https://user:canary@host.example/tongs-1.0-py3-none-any.whl")
        assert bare.skipped
        assert "canary" not in str(bare)

    @pytest.mark.parametrize("unreadable", [{"affected": None}, {"schema_version": "2.0.0"}])
    def test_reports_advisories_that_pip_audit_cannot_read(self, advisories, audited, unreadable):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **unreadable))

        result = audited("anvil==1.0")

        assert result.advisories == ()
        assert len(result.unreadable) == 1
        assert result.unreadable[0].startswith("pip-audit cannot read an advisory: ")

    def test_reports_pins_that_pip_audit_does_not_report(self, advisories, tmp_path):
        file = requirements(tmp_path, "anvil==1.0", "hammer==2.0")
        required = pins(file)
        requirements(tmp_path, "anvil==1.0")

        result = audit(file, required, f"{advisories.url}/v1/query")

        assert result.skipped == (Skipped("hammer", "pip-audit does not report it"),)

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [(503, "", "ServiceError"), (200, "<h1>", "JSONDecodeError"), (200, '{"x": 1}', "KeyError")],
    )
    def test_reports_invalid_answers_of_the_service(self, advisories, audited, status, body, error):
        advisories.says["/v1/query"] = (status, body)

        with pytest.raises(ScanError, match=rf"^pip-audit failed: .* \({error}\)$"):
            audited("anvil==1.0")

    def test_reports_that_the_service_cannot_be_reached(self, tmp_path):
        with pytest.raises(ScanError, match=r"\(ConnectionError\)$"):
            audit(requirements(tmp_path, "anvil==1.0"), [], "http://127.0.0.1:1/v1/query")

    def test_reports_why_pip_audit_failed(self, advisories, tmp_path):
        file = tmp_path / "requirements.txt"
        file.write_text("anvil==1.0\n")

        with pytest.raises(ScanError, match=r"^pip-audit failed: requirement anvil==1.0 does not contain a hash"):
            audit(file, [], advisories.url)

    def test_explains_how_to_install_pip_audit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "executable", sys._base_executable)

        with pytest.raises(ScanError, match=r"^pip-audit is not installed: pip install .* -r requirements-scan.txt$"):
            audit(requirements(tmp_path, "anvil==1.0"), [], "http://127.0.0.1:1/v1/query")
