import socket
from threading import Event, Thread

import pytest
from advisory_service import CRITICAL, MEDIUM, advisory, scored

from calyapp.vulnscan import advisories as osv
from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.report import ScanError
from calyapp.vulnscan.severity import Severity


@pytest.fixture
def service(advisories) -> AdvisoryService:
    return AdvisoryService(advisories.url)


@pytest.fixture
def slow_service():
    """The URL of a service that sends one byte at a time, and never ends its answer."""
    stopped = Event()

    def send_slowly() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not stopped.wait(0.01):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=send_slowly)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        thread.join()


class TestCheck:
    def test_accepts_a_service_that_reports_advisories(self, service):
        service.check()

    @pytest.mark.parametrize(
        ("status", "body", "reason"),
        [
            (200, "{}", "reports no advisory for a package that has some"),
            (200, "[]", "reports no advisory for a package that has some"),
            (200, '{"vulns": []}', "reports no advisory for a package that has some"),
            (200, "<h1>Please sign in</h1>", "did not answer with JSON"),
            (200, "[" * 200_000, "did not answer with JSON"),
            (404, "{}", "answered 404"),
            (503, "", "answered 503"),
        ],
    )
    def test_refuses_any_other_answer(self, advisories, service, status, body, reason):
        advisories.says["/v1/query"] = (status, body)

        with pytest.raises(ScanError, match=reason):
            service.check()

    def test_reports_why_the_service_cannot_be_reached(self):
        with pytest.raises(ScanError, match=r"at http://127.0.0.1:1 could not be reached: Connection refused"):
            AdvisoryService("http://127.0.0.1:1/").check()

    def test_bounds_the_time_for_a_slow_answer(self, slow_service, monkeypatch):
        monkeypatch.setattr(osv, "_MAX_TOTAL_SECONDS", 0.1)

        with pytest.raises(ScanError, match="it does not answer"):
            AdvisoryService(slow_service).check()


class TestSeverity:
    def test_is_the_worst_of_all_ids_of_a_vulnerability(self, advisories, service):
        advisories.publish("anvil", "1.0", advisory("PYSEC-1", "anvil"))
        advisories.publish("anvil", "1.0", advisory("GHSA-1", "anvil", **scored(MEDIUM)))
        advisories.publish("anvil", "1.0", advisory("CVE-1", "anvil", **scored(CRITICAL)))

        assert service.severity(["PYSEC-1"]) is Severity.UNKNOWN
        assert service.severity(["PYSEC-1", "GHSA-1"]) is Severity.MEDIUM
        assert service.severity(["PYSEC-1", "GHSA-1", "CVE-1"]) is Severity.CRITICAL

    def test_is_unknown_if_the_service_knows_none_of_the_ids(self, service):
        assert service.severity(["GHSA-1", "../../etc/passwd"]) is Severity.UNKNOWN

    def test_raises_if_the_service_fails(self, advisories, service):
        advisories.says["/v1/vulns/"] = (500, "")

        with pytest.raises(ScanError, match="answered 500"):
            service.severity(["GHSA-1"])

    def test_requests_have_a_total_time_limit(self, advisories, monkeypatch):
        monkeypatch.setattr(osv, "_MAX_TOTAL_SECONDS", 0)

        with pytest.raises(ScanError, match="it does not answer"):
            AdvisoryService(advisories.url).severity(["GHSA-1"])

        assert advisories.asked == []
