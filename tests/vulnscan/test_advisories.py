import pytest
from advisory_service import CRITICAL, MEDIUM, advisory, scored

from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.report import NotLookedAt
from calyapp.vulnscan.severity import Severity


@pytest.fixture
def service(advisories) -> AdvisoryService:
    return AdvisoryService(advisories.url)


class TestCheck:
    def test_is_content_with_a_service_that_knows_something(self, service):
        service.check()

    @pytest.mark.parametrize(
        ("status", "body", "why"),
        [
            (200, "{}", "knows no advisory where there are some"),
            (200, "[]", "knows no advisory where there are some"),
            (200, '{"vulns": []}', "knows no advisory where there are some"),
            (200, "<h1>Please sign in</h1>", "answered with something else than JSON"),
            (404, "{}", "answered 404"),
            (503, "", "answered 503"),
        ],
    )
    def test_is_not_content_with_one_that_does_not(self, advisories, service, status, body, why):
        advisories.says["/v1/query"] = (status, body)

        with pytest.raises(NotLookedAt, match=why):
            service.check()

    def test_says_why_it_cannot_be_reached(self):
        with pytest.raises(NotLookedAt, match=r"at http://127.0.0.1:1 could not be reached: Connection refused"):
            AdvisoryService("http://127.0.0.1:1/").check()


class TestSeverity:
    def test_is_the_worst_of_all_the_names_of_a_weakness(self, advisories, service):
        advisories.publish("anvil", "1.0", advisory("PYSEC-1", "anvil"))
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **scored(MEDIUM)))
        advisories.publish("anvil", "1.0", advisory("CVE-1", "anvil", **scored(CRITICAL)))

        assert service.severity(["PYSEC-1"]) is Severity.UNKNOWN
        assert service.severity(["PYSEC-1", "GHSA-1"]) is Severity.MEDIUM
        assert service.severity(["PYSEC-1", "GHSA-1", "CVE-1"]) is Severity.CRITICAL

    def test_is_unknown_where_the_service_knows_none_of_them(self, service):
        assert service.severity(["GHSA-1", "../../etc/passwd"]) is Severity.UNKNOWN

    def test_is_not_looked_at_where_the_service_fails(self, advisories, service):
        advisories.says["/v1/vulns/"] = (500, "")

        with pytest.raises(NotLookedAt, match="answered 500"):
            service.severity(["GHSA-1"])
