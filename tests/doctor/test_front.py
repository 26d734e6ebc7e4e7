import time
from email.utils import formatdate

import pytest

from calyapp.doctor import front
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine
from calyapp.doctor.front import HttpResponse
from calyapp.web.pipeline.security_headers import WITHOUT_FLASK

FORGED = "1795330293874-forgedforged"
OURS = "1795330293875-oursoursours"
HSTS = {"Strict-Transport-Security": "max-age=1"}


def answer(status: int = 200, *headers: tuple[str, str], body: bytes = b"", at: float | None = None) -> HttpResponse:
    now = time.time() if at is None else at
    return HttpResponse(status, tuple((name.lower(), value) for name, value in headers), body, now, now)


def diagnosed(check, *arguments, **options):
    (diagnosis,) = examine([NamedCheck("it", lambda: check(*arguments, **options))])
    return diagnosis


class TestLiveness:
    @pytest.mark.parametrize(
        ("status", "body", "verdict"),
        [
            (200, b'{"status": "alive"}', Verdict.OK),
            (502, b'{"status": "alive"}', Verdict.FAIL),
            (200, b"<h1>Welcome to nginx!</h1>", Verdict.FAIL),
            (200, b"[]", Verdict.FAIL),
        ],
    )
    def test_passes_only_if_caly_answers(self, status, body, verdict):
        assert diagnosed(front.check_liveness, lambda: answer(status, body=body)).verdict is verdict


class TestRequestId:
    @pytest.mark.parametrize(
        ("ids", "verdict"),
        [([OURS], Verdict.OK), ([FORGED], Verdict.FAIL), ([OURS, OURS], Verdict.FAIL), ([], Verdict.FAIL)],
    )
    def test_must_be_replaced_once(self, ids, verdict):
        found = answer(200, *[("X-Request-ID", one) for one in ids])

        assert diagnosed(front.check_request_id, found, FORGED).verdict is verdict


class TestForwardedAddress:
    @pytest.mark.parametrize(
        ("remaining", "verdict"),
        [
            (["9", "8", "7", "6", "5"], Verdict.OK),
            (["9", "9", "8", "7", "8"], Verdict.OK),  # two workers, each with its own count
            (["0", "0", "0", "0", "0"], Verdict.OK),  # over the limit
            (["9", "9", "9", "9", "9"], Verdict.FAIL),
        ],
    )
    def test_fails_where_each_address_is_counted_separately(self, remaining, verdict):
        answers = iter([answer(401, ("X-RateLimit-Remaining", one)) for one in remaining])

        found = diagnosed(front.check_forwarded_address, lambda *_arguments, **_headers: next(answers), 4)

        assert found.verdict is verdict


class TestHeaders:
    def test_that_are_complete_pass(self):
        found = answer(200, *WITHOUT_FLASK.items(), *HSTS.items())

        assert diagnosed(front.check_security_headers, found, "https").verdict is Verdict.OK

    @pytest.mark.parametrize("name", [*WITHOUT_FLASK, *HSTS])
    def test_that_are_missing_or_repeated_are_named(self, name):
        headers = WITHOUT_FLASK | HSTS
        missing = answer(200, *[header for header in headers.items() if header[0] != name])
        repeated = answer(200, *headers.items(), (name, headers[name]))

        assert diagnosed(front.check_security_headers, missing, "https").found == f"missing: {name}"
        assert diagnosed(front.check_security_headers, repeated, "https").found == f"twice: {name}"

    @pytest.mark.parametrize(
        ("header", "verdict"),
        [
            (("Server", "nginx"), Verdict.OK),
            (("Server", "nginx/1.22.1"), Verdict.WARN),
            (("X-Powered-By", "PHP/8.2"), Verdict.WARN),
        ],
    )
    def test_must_not_reveal_a_version(self, header, verdict):
        assert diagnosed(front.check_server_header, answer(200, header)).verdict is verdict


class TestClock:
    @pytest.mark.parametrize(
        ("behind", "verdict"),
        [(0, Verdict.OK), (2, Verdict.OK), (-2, Verdict.OK), (10, Verdict.WARN), (-10, Verdict.WARN)],
    )
    def test_may_differ_by_two_seconds(self, behind, verdict):
        found = answer(200, ("Date", formatdate(1_795_330_293 - behind, usegmt=True)), at=1_795_330_293.4)

        assert diagnosed(front.check_clock, found).verdict is verdict

    def test_without_a_date_header_warns(self):
        assert diagnosed(front.check_clock, answer()).verdict is Verdict.WARN


class TestPlainHttp:
    PAGE = (301, ("Location", "https://caly.example/"))

    def diagnosis(self, page, delivery, claiming):
        def send(method, _path, **headers):
            if method == "GET":
                return answer(*page)
            return answer(claiming if "X-Forwarded-Proto" in headers else delivery)

        return diagnosed(front.check_plain_http, send)

    def test_that_refuses_deliveries_and_redirects_pages_passes(self):
        assert self.diagnosis(self.PAGE, 403, 403).verdict is Verdict.OK

    @pytest.mark.parametrize(
        ("page", "delivery", "claiming", "words"),
        [
            (PAGE, 301, 403, "redirected"),
            (PAGE, 401, 403, "answered 401"),
            (PAGE, 403, 401, "X-Forwarded-Proto is trusted"),
            ((404,), 403, 403, "a page over plain HTTP is answered 404"),
            ((301, ("Location", "http://caly.example/")), 403, 403, "not redirected to https"),
            ((301, ("Location", "https://forged.invalid/")), 403, 403, "X-Forwarded-Host is trusted"),
        ],
    )
    def test_with_any_other_answer_fails(self, page, delivery, claiming, words):
        found = self.diagnosis(page, delivery, claiming)

        assert found.verdict is Verdict.FAIL
        assert words in found.found

    def test_without_a_listener_passes(self):
        assert diagnosed(front.check_plain_http, front.sender("http://127.0.0.1:1")).verdict is Verdict.OK


class TestCertificate:
    @pytest.mark.parametrize(("in_production", "verdict"), [(True, Verdict.FAIL), (False, Verdict.WARN)])
    def test_is_missing_for_a_plain_http_address(self, in_production, verdict):
        assert diagnosed(front.check_certificate, "http://127.0.0.1:1", in_production).verdict is verdict

    def test_that_cannot_be_read_fails_and_skips_the_other_checks(self):
        first, *rest = examine(front.checks("https://127.0.0.1:1", "http://127.0.0.1:1", in_production=True, workers=1))

        assert (first.check, first.verdict, first.found) == ("certificate", Verdict.FAIL, "nothing listens there")
        assert {one.verdict for one in rest} == {Verdict.WARN, Verdict.OK}
