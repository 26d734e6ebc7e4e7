import io

import pytest

from calyapp.access.principal import COMMAND_LINE
from calyapp.exotel import cdr, rebuild
from calyapp.exotel.cdr_import import CdrImport

HEADER = "CallSid,From,To,Direction,Status,StartTime,EndTime,Duration,ConversationDuration,Leg2Status\n"
ROW = "{sid},09876543210,08047112345,inbound,completed,2026-11-01 10:00:00,2026-11-01 10:01:00,60,45,completed\n"
CALL = "SELECT status, outcome, duration_seconds, start_ts::text, start_ts_source FROM calls ORDER BY call_sid"
COMPLETED = ("completed", "answered", 45, "2026-11-01 04:30:00+00", "api")


@pytest.fixture
def asha(services):
    return services.clients.add("Asha Clinics", ["+918047112345"]).id


@pytest.fixture
def begin(services, asha):
    """`begin(rows)` returns the import of a file with these rows."""

    def begin_import(rows, client_id=asha):
        file = io.BytesIO((HEADER + rows).encode())
        return CdrImport(services.recorder, file, cdr.check(file), client_id, COMMAND_LINE)

    return begin_import


@pytest.fixture
def run(begin):
    """`run(rows)` imports a file with these rows, and returns the results and the summary."""

    def run_import(rows, **options):
        cdr_import = begin(rows, **options)
        return [row.shown for row in cdr_import.rows()], cdr_import.summary

    return run_import


class TestRows:
    def test_create_missing_calls(self, run, query):
        assert run(ROW.format(sid="s1")) == (
            [{"line": 2, "callSid": "s1", "result": "new"}],
            {"new": 1, "repeat": 0, "rejected": 0, "notTried": 0, "complete": True},
        )
        assert query(CALL) == [COMPLETED]
        assert query("SELECT event_type, severity FROM audit_logs WHERE call_id IS NOT NULL") == [
            ("CALL_IMPORTED", "LOW")
        ]

    def test_complete_unfinished_calls(self, run, query):
        run("s1,09876543210,08047112345,inbound,in-progress\n")
        before = query("SELECT status, outcome FROM calls")

        run(ROW.format(sid="s1"))

        assert before == [("in-progress", None)]
        assert query(CALL) == [COMPLETED]

    def test_change_nothing_in_a_repeated_import(self, run, query):
        rows = ROW.format(sid="s1") + ROW.format(sid="s2")
        run(rows)
        everything = "SELECT c::text FROM calls c UNION ALL SELECT id::text FROM audit_logs ORDER BY 1"
        before = query(everything)

        results, summary = run(rows)

        assert [row["result"] for row in results] == ["repeat", "repeat"]
        assert (summary["new"], summary["repeat"]) == (0, 2)
        assert query(everything) == before

    @pytest.mark.parametrize(
        ("row", "call_sid", "sentence"),
        [
            (",1,2\n", "", "CallSid must be 1 to 64 of"),
            ("a b,1,2\n", "a b", "CallSid must be 1 to 64 of"),
            ("s" * 100 + "\n", "s" * 64, "CallSid must be 1 to 64 of"),
            ("s1,1,2\0\n", "s1", "The row contains a NUL character."),
        ],
        ids=["empty", "blank", "long", "NUL"],
    )
    def test_without_a_valid_call_sid_or_with_nul_are_rejected_alone(self, run, query, row, call_sid, sentence):
        results, summary = run(row + ROW.format(sid="s2"))

        assert (results[0]["callSid"], results[0]["result"]) == (call_sid, "rejected")
        assert results[0]["message"].startswith(sentence)
        assert (summary["rejected"], summary["new"], summary["complete"]) == (1, 1, True)
        assert query("SELECT call_sid FROM calls") == [("s2",)]

    def test_keep_meaningless_values_in_the_ledger_only(self, run, query):
        run("s1,anonymous,=1+1,sideways,exploded,0000-00-00 00:00:00,1970-01-01 05:30:00,999999,-1,maybe\n")

        assert query("SELECT status, outcome, direction, start_ts, end_ts, duration_seconds FROM calls") == [
            ("initiated", None, None, None, None, None)
        ]
        assert query("SELECT payload->>'Status', payload->>'To', route FROM deliveries") == [
            ("exploded", "=1+1", "cdr")
        ]

    def test_change_only_calls_of_the_client(self, services, run, query):
        other = services.clients.add("Banyan Dental", []).id
        run("s1,1,2,inbound,ringing\n")

        run(ROW.format(sid="s1"), client_id=other)

        assert query("SELECT client_id::text, status FROM calls ORDER BY status") == [
            (str(other), "completed"),
            (query("SELECT id::text FROM clients WHERE name = 'Asha Clinics'")[0][0], "ringing"),
        ]

    def test_are_rebuilt_like_deliveries(self, services, run, query):
        run(ROW.format(sid="s1"))
        unchanged = [*rebuild.rebuild(services.database.records)]
        query("UPDATE calls SET status = 'busy', evidence = 'busy', start_ts = now()")

        (corrected,) = rebuild.rebuild(services.database.records)

        assert unchanged == [None]
        assert set(corrected.fields) == {"status", "outcome", "evidence", "start_ts"}
        assert query(CALL) == [COMPLETED]


class TestAnnounce:
    def test_writes_the_file_to_the_audit_log(self, services, begin, asha, query):
        cdr_import = begin(ROW.format(sid="s1"))

        cdr_import.announce(services.database.records, None)

        ((client_id, metadata),) = query(
            "SELECT client_id::text, metadata FROM audit_logs WHERE event_type = 'DATA_IMPORTED'"
        )
        assert client_id == str(asha)
        assert (metadata["rows"], metadata["via"], len(metadata["sha256"])) == (1, "command line", 64)


class TestWithoutDatabase:
    def test_stops_and_can_be_repeated(self, begin, run, query):
        rows = "".join(ROW.format(sid=f"s{n}") for n in range(5))
        cdr_import = begin(rows)
        rows_iterator = cdr_import.rows()

        tried = [next(rows_iterator).shown["callSid"] for _ in range(2)]
        query("ALTER TABLE deliveries RENAME TO elsewhere")
        tried += [row.shown["callSid"] for row in rows_iterator]
        query("ALTER TABLE elsewhere RENAME TO deliveries")

        assert tried == ["s0", "s1"]
        assert cdr_import.summary == {"new": 2, "repeat": 0, "rejected": 0, "notTried": 3, "complete": False}
        assert run(rows)[1] == {"new": 3, "repeat": 2, "rejected": 0, "notTried": 0, "complete": True}
