"""Log lines: their format, their fields, and the data that they must not contain."""

import json
import logging
import sys
from collections.abc import Iterator
from io import StringIO
from threading import Thread
from typing import Any

import psycopg2.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp import logs

REQUEST_ID = "1760000000000-abc123def"
CALL_ID = "0a1b2c3d-1111-5222-8333-444455556666"

logger = logging.getLogger("calyapp.somewhere")


class Lines:
    """The lines written to stderr since the last read."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._capsys.readouterr().err.split("\n")[:-1]]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("info")
    yield Lines(capsys)
    logs.unbind()
    root.handlers[:] = handlers
    root.setLevel(level)


class TestJsonLine:
    def test_has_time_level_logger_and_message(self, lines: Lines) -> None:
        logger.info("the spool holds %d deliveries", 3)

        (line,) = lines.read()
        assert line.pop("time").endswith("Z")
        assert line == {
            "level": "info",
            "logger": "calyapp.somewhere",
            "message": "the spool holds 3 deliveries",
        }

    def test_contains_only_known_fields(self, lines: Lines) -> None:
        logger.info("done", extra={"fields": {"status": 200, "slow": False, "reason": None, "payload": "From=…"}})

        (line,) = lines.read()
        assert (line["status"], line["slow"], line["reason"]) == (200, False, None)
        assert "payload" not in line

    def test_contains_no_number_and_no_key(self, lines: Lines) -> None:
        logger.warning("from %s with cwk_%s", "09000000001", "a" * 56, extra={"fields": {"reason": "key=s3cret"}})

        (line,) = lines.read()
        assert line["message"] == "from *********01 with cwk_***"
        assert line["reason"] == "key=***"

    def test_does_not_mask_identifiers(self, lines: Lines) -> None:
        logger.info("%s %s", REQUEST_ID, CALL_ID, extra={"fields": {"requestId": REQUEST_ID, "callId": CALL_ID}})

        (line,) = lines.read()
        assert line["message"] == f"{REQUEST_ID} {CALL_ID}"
        assert (line["requestId"], line["callId"]) == (REQUEST_ID, CALL_ID)

    def test_contains_the_type_and_the_redacted_traceback_of_an_exception(self, lines: Lines) -> None:
        try:
            raise json.JSONDecodeError("no call from 09000000001", "", 0)
        except ValueError:
            logger.exception("it failed")

        (line,) = lines.read()
        assert line["exception"]["type"] == "json.decoder.JSONDecodeError"
        assert "test_logs.py" in line["exception"]["traceback"]
        assert "no call from *********01" in line["exception"]["traceback"]
        assert "09000000001" not in json.dumps(line)

    def test_omits_the_message_of_the_driver_but_keeps_later_errors(self, lines: Lines) -> None:
        quoted = f"LINE 1: INSERT … VALUES ('a {'private'} note')"
        try:
            try:
                raise psycopg2.errors.UndefinedColumn(quoted)
            except psycopg2.Error as cause:
                raise RuntimeError("could not be stored") from cause
        except RuntimeError:
            logger.exception("it failed")

        (line,) = lines.read()
        first, then = line["exception"]["traceback"].split("which led to:")
        assert "UndefinedColumn" in first
        assert "could not be stored" in then
        assert "private" not in json.dumps(line)

    def test_cannot_be_split_by_its_message(self, lines: Lines) -> None:
        logger.info("first\nsecond\u2028third\r")

        (line,) = lines.read()
        assert line["message"] == "first\nsecond\u2028third\r"

    @pytest.mark.parametrize(
        ("message", "arguments", "fields"),
        [
            ("%d", ("three",), {}),
            ("%s %s", ("one",), {}),
            ("big", (), {"count": 2**70}),
            ("not a mapping", (), 7),
        ],
    )
    def test_names_its_origin_if_it_cannot_be_formatted(
        self, message: str, arguments: tuple[str, ...], fields: object
    ) -> None:
        record = logging.LogRecord("calyapp.somewhere", logging.INFO, __file__, 7, message, arguments, None)
        record.fields = fields

        line = json.loads(logs.JsonFormatter().format(record))

        assert line["message"] == "the line of test_logs:7 could not be written"
        assert line["error"] == "TypeError"

    @given(
        st.text(),
        st.dictionaries(st.sampled_from(sorted(logs.FIELDS)), st.one_of(st.none(), st.text(), st.floats(), st.uuids())),
    )
    def test_is_json_for_every_message(self, message: str, fields: dict[str, object]) -> None:
        record = logging.makeLogRecord({"msg": message + "\udc80", "fields": fields})

        line = json.loads(logs.JsonFormatter().format(record))

        assert "could not be written" not in line["message"]
        assert set(fields) <= set(line)


REFUSED = {"method": "POST", "route": "/hooks/<word>", "status": 401, "durationMs": 2.3, "reason": "The key is wrong"}


class TestTerminalLine:
    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")

    @pytest.mark.parametrize(
        ("fields", "line"),
        [
            ({"status": 200, "reason": None}, "200 POST /hooks/<word> 2 ms"),
            ({}, "401 POST /hooks/<word> 2 ms: The key is wrong"),
            ({"status": 404, "path": "/hoks/x", "reason": None}, "404 POST /hoks/x 2 ms"),
            ({"slow": True, "durationMs": 1500.0, "reason": None}, "401 POST /hooks/<word> 1500 ms (slow)"),
        ],
    )
    def test_is_short_for_a_request_and_has_the_reason_of_a_refusal(self, fields: dict[str, object], line: str) -> None:
        assert shown("request", **{**REFUSED, **fields}) == line

    def test_has_level_message_and_fields_for_other_records(self) -> None:
        assert shown("replay failed", task="replay", error=None, count=3) == "WARN replay failed (task=replay count=3)"

    def test_contains_no_number_and_no_key(self) -> None:
        assert shown("from 09000000001", reason="key=s3cret") == "WARN from *********01 (reason=key=***)"

    def test_is_one_line_without_control_characters(self) -> None:
        assert shown("a\nb\x1b[2J", path="\x9b31m") == r"WARN a\nb\x1b[2J (path=\x9b31m)"

    def test_is_followed_by_the_traceback_of_an_exception(self) -> None:
        try:
            raise ValueError("broken")
        except ValueError:
            record = logging.LogRecord("calyapp", logging.ERROR, __file__, 7, "it failed", (), sys.exc_info())

        first, *below = logs.TerminalFormatter().format(record).splitlines()

        assert first.endswith(" ERROR it failed")
        assert below[-1] == "ValueError: broken"

    def test_names_its_origin_if_it_cannot_be_formatted(self) -> None:
        assert "could not be written (error=TypeError)" in shown("%d", "three")

    @pytest.mark.parametrize(
        ("environment", "is_coloured"),
        [({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
    )
    def test_is_coloured_unless_colours_are_disabled(
        self, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_coloured: bool
    ) -> None:
        monkeypatch.delenv("NO_COLOR")
        monkeypatch.setenv("TERM", "xterm")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        assert shown("request", **REFUSED).startswith("\x1b[33m401") is is_coloured

    @given(
        st.text(),
        st.dictionaries(st.sampled_from(sorted(logs.FIELDS)), st.one_of(st.none(), st.text(), st.floats(), st.uuids())),
    )
    def test_is_one_line_for_every_message(self, message: str, fields: dict[str, object]) -> None:
        assert shown(message.replace("%", ""), **fields).isprintable()


def shown(message: str, *arguments: object, **fields: object) -> str:
    """Returns the line of a warning as a terminal shows it, without its time."""
    record = logging.LogRecord("calyapp", logging.WARNING, __file__, 7, message, arguments, None)
    record.fields = fields
    return logs.TerminalFormatter().format(record).partition(" ")[2]


class TestLevels:
    @pytest.mark.parametrize(
        ("level", "written"),
        [
            ("error", ["error"]),
            ("warn", ["warn", "error"]),
            ("info", ["info", "warn", "error"]),
            ("debug", ["debug", "info", "warn", "error"]),
        ],
    )
    def test_at_or_above_the_configured_level_are_written(self, lines: Lines, level: str, written: list[str]) -> None:
        logs.configure(level)

        for severity in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logger.log(severity, "hello")

        assert [line["level"] for line in lines.read()] == written

    def test_configured_twice_write_each_line_once(self, lines: Lines) -> None:
        logs.configure("info")
        logs.configure("info")

        logger.info("hello")

        assert len(lines.read()) == 1


class TestBoundFields:
    def test_are_in_every_line_until_they_are_unbound(self, lines: Lines) -> None:
        logs.bind(requestId=REQUEST_ID)
        logs.bind(clientId=None)
        logger.info("one")
        logging.getLogger("sqlalchemy").warning("two")
        logs.unbind()
        logger.info("three")

        one, two, three = lines.read()
        assert one["requestId"] == two["requestId"] == REQUEST_ID
        assert one["clientId"] is None
        assert "requestId" not in three

    def test_are_overridden_by_fields_of_the_line(self, lines: Lines) -> None:
        logs.bind(status=200)

        logger.info("one", extra={"fields": {"status": 500}})

        assert lines.read()[0]["status"] == 500

    def test_are_not_shared_between_threads(self, lines: Lines) -> None:
        logs.bind(requestId=REQUEST_ID)

        thread = Thread(target=logger.info, args=("elsewhere",))
        thread.start()
        thread.join()

        assert "requestId" not in lines.read()[0]


def test_a_closed_stderr_raises_nothing(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)

    logger.info("nobody hears this")
