import socket
from threading import Event, Thread

import pytest
from advisory_service import CRITICAL, MEDIUM, advisory, scored

from calyapp.vulnscan import advisories as osv
from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.report import NotLookedAt
from calyapp.vulnscan.severity import Severity


@pytest.fixture
def service(advisories) -> AdvisoryService:
    return AdvisoryService(advisories.url)


@pytest.fixture
def dripping():
    """The address of a service that sends a blank now and then, and never comes to an end."""
    stopped = Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while not stopped.wait(0.01):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=drip)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        thread.join()


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
            (200, "[" * 200_000, "answered with something else than JSON"),
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

    def test_does_not_wait_for_the_end_of_an_answer_that_drips(self, dripping, monkeypatch):
        monkeypatch.setattr(osv, "_SECONDS_IN_ALL", 0.1)

        with pytest.raises(NotLookedAt, match="it does not answer"):
            AdvisoryService(dripping).check()


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

    def test_is_not_asked_for_without_end(self, advisories, monkeypatch):
        monkeypatch.setattr(osv, "_SECONDS_IN_ALL", 0)

        with pytest.raises(NotLookedAt, match="it does not answer"):
            AdvisoryService(advisories.url).severity(["GHSA-1"])

        assert advisories.asked == []
