"""Tests that attacks on a running server get the usual answer, and are reported in log, metrics and audit log."""

from urllib.parse import urlencode

from running_server import eventually, webhook

ATTACKS = {
    "sql_injection": "x' union select name, secret from staff --",
    "xss": "<script>alert(1)</script>",
    "command_injection": "127.0.0.1; cat /etc/passwd",
}
NOTES = ["O'Brien & Sons -- call back; thanks", "R&D | sales", "नमस्ते; 'हाँ' या 'नहीं' = पक्का नहीं"]
VIOLATIONS = "SELECT metadata->>'pattern', sum((metadata->>'count')::int) FROM audit_logs" + (
    " WHERE event_type = 'SECURITY_VIOLATION' AND client_id::text = %s GROUP BY 1 ORDER BY 1"
)


def test_attacks_are_answered_and_reported_and_harmless_notes_are_not_reported(serve, tenant, query):
    server = serve("--workers", "2")
    asha = tenant(server)
    deliver = [{"CallSid": f"s{n}", "CustomField": note} for n, note in enumerate([*ATTACKS.values(), *NOTES] * 5)]

    connection = server.connect()
    for fields in deliver:
        status, _ = _send(connection, webhook(asha, "call-end"), fields)
        assert status == 200
    connection.close()

    expected = [(pattern, 5) for pattern in sorted(ATTACKS)]
    eventually(lambda: query(VIOLATIONS, asha["id"]) == expected)
    warned = [line for line in server.log_lines() if line["message"] == "a request looks like an attack"]
    assert {(line["pattern"], line["place"]) for line in warned} == {(name, "form.CustomField") for name in ATTACKS}
    assert query("SELECT count(*) FROM deliveries") == [(len(deliver),)]


def _send(connection, path: str, fields: dict) -> tuple[int, bytes]:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "Exotel"}
    connection.request("POST", path, urlencode(fields), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()
