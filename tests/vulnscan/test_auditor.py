import sys

import pytest
from advisory_service import advisory, requirements

from calyapp.vulnscan.auditor import audit
from calyapp.vulnscan.report import NotLookedAt, Skipped
from calyapp.vulnscan.requirements import pins


@pytest.fixture
def audited(advisories, tmp_path):
    """`audited(*lines)`: what pip-audit says of these requirements."""

    def run(*lines: str):
        file = requirements(tmp_path, *lines)
        return audit(file, pins(file), f"{advisories.url}/v1/query")

    return run


class TestAudit:
    def test_finds_a_weakness_by_all_its_names_and_the_nearest_version_without_it(self, advisories, audited):
        record = advisory("GHSA-1", "anvil", fixed=("0.9.5", "2.1", "1.0.3"), aliases=["CVE-1", "PYSEC-1"])
        advisories.publish("anvil", "1.0.0", record)

        found = audited("anvil==1.0.0", "hammer==2.0")

        (weakness,) = found.weaknesses
        assert (found.packages, found.skipped, found.left_out) == (2, (), ())
        assert (weakness.package, weakness.version, weakness.fixed_in) == ("anvil", "1.0.0", "1.0.3")
        assert weakness.ids == ("PYSEC-1", "CVE-1", "GHSA-1")
        assert weakness.description == "anvil is weak."

    def test_knows_of_no_fix_where_only_older_branches_have_one(self, advisories, audited):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", fixed=("0.9.5",)))

        assert audited("anvil==1.0").weaknesses[0].fixed_in is None

    @pytest.mark.parametrize("letter", ["\x1b", "\n", "\ud800", "\u202e"])
    def test_shows_of_an_advisory_what_can_be_printed(self, advisories, audited, letter):
        record = advisory("GHSA-1", "anvil", aliases=[f"CVE-{letter}"], summary=f"weak{letter}PASSED")
        advisories.publish("anvil", "1.0", record)

        (weakness,) = audited("anvil==1.0").weaknesses

        assert sorted(weakness.ids) == ["CVE-\ufffd", "GHSA-1"]
        assert weakness.description in ("weak PASSED", "weak\ufffdPASSED")

    def test_names_what_was_skipped_without_the_password_in_it(self, audited):
        found = audited("anvil==1.0", "tongs @ https://user:canary@host.example/tongs-1.0-py3-none-any.whl")

        assert found.packages == 1
        assert found.skipped == (Skipped("tongs", "URL requirements cannot be pinned to a specific package version"),)
        bare = audited("anvil==1.0", "https://user:canary@host.example/tongs-1.0-py3-none-any.whl")
        assert bare.skipped
        assert "canary" not in str(bare)

    @pytest.mark.parametrize("unreadable", [{"affected": None}, {"schema_version": "2.0.0"}])
    def test_tells_of_advisories_that_pip_audit_leaves_out(self, advisories, audited, unreadable):
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **unreadable))

        found = audited("anvil==1.0")

        assert found.weaknesses == ()
        assert len(found.left_out) == 1
        assert found.left_out[0].startswith("pip-audit left an advisory out: ")

    def test_tells_of_pins_that_pip_audit_does_not_mention(self, advisories, tmp_path):
        file = requirements(tmp_path, "anvil==1.0", "hammer==2.0")
        wanted = pins(file)
        requirements(tmp_path, "anvil==1.0")

        found = audit(file, wanted, f"{advisories.url}/v1/query")

        assert found.skipped == (Skipped("hammer", "pip-audit does not mention it"),)

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [(503, "", "ServiceError"), (200, "<h1>", "JSONDecodeError"), (200, '{"x": 1}', "KeyError")],
    )
    def test_says_that_the_service_does_not_answer_well(self, advisories, audited, status, body, error):
        advisories.says["/v1/query"] = (status, body)

        with pytest.raises(NotLookedAt, match=rf"^pip-audit broke off: .* \({error}\)$"):
            audited("anvil==1.0")

    def test_says_that_nobody_answers(self, tmp_path):
        with pytest.raises(NotLookedAt, match=r"\(ConnectionError\)$"):
            audit(requirements(tmp_path, "anvil==1.0"), [], "http://127.0.0.1:1/v1/query")

    def test_says_why_pip_audit_gave_up(self, advisories, tmp_path):
        file = tmp_path / "requirements.txt"
        file.write_text("anvil==1.0\n")

        with pytest.raises(NotLookedAt, match=r"^pip-audit gave up: requirement anvil==1.0 does not contain a hash"):
            audit(file, [], advisories.url)

    def test_says_how_to_get_pip_audit_where_it_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sys, "executable", sys._base_executable)

        with pytest.raises(NotLookedAt, match=r"^pip-audit is not installed: pip install .* -r requirements-scan.txt$"):
            audit(requirements(tmp_path, "anvil==1.0"), [], "http://127.0.0.1:1/v1/query")
