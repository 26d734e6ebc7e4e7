"""Sends unique canary values in every place, then searches all output of the service for them."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from running_server import webhook

NUMBERS = {
    "bare": "9811122233",
    "trunk zero": "09811122244",
    "e164": "+919811122255",
    "spaced": "+91 98111 22266",
    "dashed": "098111-22277",
}
WORDS = {
    "custom": "canaryCustomField",
    "name": "canaryFieldName",
    "agent": "canaryUserAgent",
    "referer": "canaryReferer",
    "cookie": "canaryCookie",
    "query": "canaryQuery",
    "path": "canaryPath",
    "header": "canaryHeader",
    "direction": "canaryDirection",
    "status": "canaryStatus",
    "recording": "canaryRecording",
    "attack": "canaryAttack",
}
SECRETS = {
    "e-mail": "canary.person@mail.example",
    "bearer": "canaryBearerToken1234567890",
    "basic": "canaryBasicPassword",
    "signature": "canarySignature0123456789",
    "wrong key": "cwk_canary" + "Q" * 50,
    "exotel's key": "canaryExotelKey0123456789",
    "exotel's token": "canaryExotelToken0123456789",
}
CALL_SID = "canarysid00000000000000000000187v"[:32]
TIME = "2026-03-05 14:30:00"
ROUTES = ("call-start", "call-status", "call-end", "recording", "passthru", "heartbeat")


@pytest.fixture
def told(serve, tenant, tmp_path, query):
    """Sends requests of every kind. All output: answers, commands, log, audit log and ledger; and the webhook key."""
    server = serve(LOG_LEVEL="debug", WEBHOOK_AUTH="required")
    asha = tenant(server)
    answers: list[str] = []

    def drive(method: str, path: str, body: bytes = b"", **headers: str) -> None:
        connection = server.connect()
        connection.request(method, path, body, _headers() | headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        # The URL of the stream goes only to Exotel. It contains a new token, but no canary.
        answers.append(f"{answer.status} {answer.headers} {text}")
        connection.close()

    for route in ROUTES:
        _drive_route(drive, webhook(asha, route), f"/webhooks/exotel/{route}", asha["webhookKey"])
    drive("GET", f"/{WORDS['path']}/{NUMBERS['bare']}?{_fields()}")
    drive("GET", "/health/ready?" + _fields())
    query("ALTER TABLE calls RENAME COLUMN phone_from TO gone")
    drive("POST", webhook(asha, "call-end") + "&last=1", _fields().encode(), **_FORM)
    query("ALTER TABLE calls RENAME COLUMN gone TO phone_from")
    query("ALTER TABLE calls ADD CONSTRAINT nobody CHECK (phone_from IS NULL) NOT VALID")
    drive("POST", webhook(asha, "call-start") + "&last=2", _fields(CallSid="other").encode(), **_FORM)
    with _unwritable(tmp_path / "spool" / "journal.db"):
        drive("POST", webhook(asha, "call-start") + "&last=3", _fields(CallSid="third").encode(), **_FORM)
    credentials = "".join(f"{SECRETS[name]}\n" for name in ("exotel's key", "exotel's token"))
    connect = ("clients", "connect-exotel", asha["id"], "--account-sid", "asha1", "--credentials-stdin")
    ended = [server.command(*connect, stdin=credentials)]
    ended += [server.command(*words, "--json") for words in (("secrets", "status"), ("secrets", "reencrypt"))]
    ended += [server.command("clients", "show", asha["id"]), server.command("clients", "disconnect-exotel", asha["id"])]
    drive("GET", "/health/detailed")
    drive("GET", "/health/metrics")
    drive("GET", "/health/metrics?format=prometheus")
    server.stop()
    trail = query("SELECT row_to_json(audit_logs)::text FROM audit_logs WHERE event_type NOT LIKE 'DATA%%'")
    return {
        "answers": "\n".join(answers),
        "commands": "\n".join(done.stdout + done.stderr for done in ended),
        "log": (tmp_path / "server.log").read_text(),
        "trail": "\n".join(line for (line,) in trail),
        "ledger": "\n".join(line for (line,) in query("SELECT payload::text FROM deliveries")),
        "key": asha["webhookKey"],
    }


def test_no_canary_is_in_any_answer_log_line_or_audit_entry(told):
    planted = NUMBERS | WORDS | SECRETS | {"key": told["key"]}
    # Numbers are searched by the digits that all their notations share.
    sought = {
        name: value.replace(" ", "").replace("-", "").lstrip("+0")[-10:] if name in NUMBERS else value
        for name, value in planted.items()
    }

    hits = {
        (place, name)
        for place in ("answers", "commands", "log", "trail")
        for name, value in sought.items()
        if value in told[place].replace(" ", "") or value in told[place]
    }

    # The audit log keeps the user agent, which identifies a sender. The log keeps a path without a route, with keys
    # and numbers masked, so that a mistyped URL can be found.
    assert hits - {("trail", "agent"), ("log", "path"), ("log", "attack")} == set()


def test_the_key_is_masked_in_the_ledger(told):
    assert told["key"] not in told["ledger"]
    assert "cwk_***" in told["ledger"]


def test_values_that_identify_a_request_are_kept(told):
    assert "SECURITY_VIOLATION" in told["trail"]
    assert '"pattern":"xss"' in told["log"]
    assert f'"callSid": "{CALL_SID}"' in told["trail"] or f'"callSid":"{CALL_SID}"' in told["trail"]
    lines = [json.loads(line) for line in told["log"].splitlines() if line.startswith("{")]
    requests = [line for line in lines if line["message"] == "request"]
    assert len(requests) > 60
    assert all(line["requestId"] and line["time"] for line in requests)


def test_every_kind_of_answer_is_covered(told):
    seen = {line[:3] for line in told["answers"].splitlines() if line[:3].isdigit()}

    assert seen >= {"200", "400", "401", "404", "405", "413", "500"}


@contextmanager
def _unwritable(journal: Path) -> Iterator[None]:
    """Replaces the journal by a directory, which cannot be opened as a journal."""
    aside = journal.with_name("aside")
    journal.rename(aside)
    journal.mkdir()
    yield
    journal.rmdir()
    aside.rename(journal)


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _drive_route(drive, signed: str, bare: str, key: str) -> None:
    echoed = json.dumps(f"https://hooks.example/passthru?key={key}&From={NUMBERS['bare']}")
    drive("GET", f"{signed}&{_fields(passthru=echoed)}")
    drive("POST", signed, _fields(passthru=echoed, n="2").encode(), **_FORM)
    drive("POST", signed, json.dumps(dict(_pairs(n="3"))).encode(), **{"Content-Type": "application/json"})
    drive("HEAD", f"{signed}&{_fields()}")
    drive("PUT", f"{signed}&{_fields()}")
    drive("POST", signed, _fields(CallSid=NUMBERS["e164"]).encode(), **_FORM)
    _attack(drive, signed, bare)
    drive("POST", signed, b'{"CallSid": "' + WORDS["custom"].encode(), **{"Content-Type": "application/json"})
    drive("POST", signed, b"pad=" + WORDS["custom"].encode() * 80_000, **_FORM)
    drive("POST", bare, _fields().encode(), **_FORM)
    drive("POST", f"{bare}?key={SECRETS['wrong key']}&{_fields()}")
    login = base64.b64encode(f"user:{SECRETS['basic']}".encode()).decode()
    drive("POST", bare, _fields().encode(), **_FORM, Authorization=f"Basic {login}")
    login = base64.b64encode(f"user:{key}".encode()).decode()
    drive("POST", bare, _fields(n="4").encode(), **_FORM, Authorization=f"Basic {login}")


def _attack(drive, signed: str, bare: str) -> None:
    """Sends an attack in every inspected place, names included."""
    attack = f"{WORDS['attack']}' or 1=1 -- {NUMBERS['e164']} <script>alert(1)</script>;cat /etc/passwd"
    drive("POST", signed, _fields(CustomField=attack, n="5").encode(), **_FORM)
    drive("POST", signed, _fields(**{attack: attack, NUMBERS["bare"]: attack}).encode(), **_FORM)
    body = json.dumps({"CallSid": CALL_SID, "CallStatus": "busy", "a": [{attack: attack}], NUMBERS["bare"]: attack})
    drive("POST", signed, body.encode(), **{"Content-Type": "application/json"})
    drive("GET", f"{signed}&{_fields(q=attack)}", **{"X-Note": attack, "Cookie": f"a={attack}"})
    drive("GET", f"{bare}/{quote(attack)}?{quote(attack)}")


def _fields(**overrides: str) -> str:
    return urlencode(_pairs(**overrides), quote_via=quote)


def _pairs(**overrides: str) -> list[tuple[str, str]]:
    known = {
        "CallSid": CALL_SID,
        "From": NUMBERS["trunk zero"],
        "To": NUMBERS["spaced"],
        "CallStatus": WORDS["status"],
        "Direction": WORDS["direction"],
        "DialWhomNumber": NUMBERS["dashed"],
        "StartTime": TIME,
        "RecordingUrl": f"https://r.example/{WORDS['recording']}.mp3?X-Amz-Signature={SECRETS['signature']}",
        "CustomField": f"{WORDS['custom']} {SECRETS['e-mail']} {NUMBERS['e164']}",
        WORDS["name"]: WORDS["query"],
    }
    return list((known | overrides).items())


def _headers() -> dict[str, str]:
    return {
        "User-Agent": f"{WORDS['agent']} {NUMBERS['bare']}",
        "Referer": f"https://x.example/{WORDS['referer']}?From={NUMBERS['e164']}",
        "Cookie": f"session={WORDS['cookie']}",
        "X-Forwarded-Host": WORDS["header"],
        "X-Custom": f"{WORDS['header']} {SECRETS['bearer']} {NUMBERS['spaced']}",
    }
