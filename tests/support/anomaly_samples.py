"""Attacks and benign requests from `tests/anomaly`, by which the detector is judged. All are written for Caly.

The files hold one sample per line, with ⏎ for a line end inside it. Lines with %% separate samples of code.
"""

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote

from calyapp.anomaly.rules import Pattern
from calyapp.anomaly.values import Inspected, pairs

_FOLDER = Path(__file__).parents[1] / "anomaly"
_HEADERS = {"host": "caly.example", "user-agent": "Exotel-Hermix/1.4"}
_DELIVERY = {
    "CallSid": "b6a7f3d2c1e04f5a9b8c7d6e5f4a3b2c",
    "CallFrom": "09876543210",
    "CallTo": "08047112345",
    "Direction": "incoming",
    "Created": "Thu, 05 Mar 2026 14:30:00",
    "DialCallDuration": "35",
    "StartTime": "2026-03-05 14:30:00",
    "EndTime": "1970-01-01 05:30:00",
    "CallType": "completed",
    "DialWhomNumber": "09811122233",
    "flow_id": "100001",
    "tenant_id": "200001",
    "digits": '"1"',
    "RecordingUrl": "https://s3.ap-south-1.amazonaws.com/rec/a.mp3?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAEXAMPLE%2F20260305%2Fap-south-1%2Fs3%2Faws4_request&X-Amz-Date=20260305T090000Z"
    "&X-Amz-Expires=3600&X-Amz-Signature=0f1e2d3c4b5a69788796a5b4c3d2e1f0",
}

INJECTIONS = (Pattern.SQL_INJECTION, Pattern.XSS, Pattern.COMMAND_INJECTION)

CHANNELS: dict[str, Callable[[str], Inspected]] = {
    "path": lambda value: Inspected(path=f"/api/calls/{value}", headers=_HEADERS),
    "query": lambda value: Inspected(query=(("q", value),), headers=_HEADERS),
    "header": lambda value: Inspected(headers=_HEADERS | {"referer": value}),
    "form": lambda value: delivery(value),
    "json": lambda value: Inspected(json=pairs([("a", [value])]), headers=_HEADERS),
}


def attacks(pattern: Pattern) -> list[str]:
    """Returns values that match this pattern."""
    return _lines(f"attacks/{pattern}.txt")


def delivery(note: str | None = None) -> Inspected:
    """Returns a delivery of Exotel, with this note in its CustomField."""
    fields = _DELIVERY if note is None else _DELIVERY | {"CustomField": note}
    return Inspected(path="/webhooks/exotel/call-end", form=tuple(fields.items()), headers=_HEADERS)


def benign() -> dict[str, list[Inspected]]:
    """Returns requests that match no pattern, by kind."""
    return {
        "deliveries": [delivery(note) for note in (*_lines("benign/notes.txt"), *_lines("benign/fields.txt"))],
        "web": [*map(_visit, _lines("benign/web.txt")), *map(_agent, _lines("benign/agents.txt"))],
        "code": [
            Inspected(json=pairs([("code", code)]), headers=_HEADERS)
            for code in (_FOLDER / "benign/code.txt").read_text().split("\n%%\n")
        ],
    }


def _visit(url: str) -> Inspected:
    path, _, query = url.partition("?")
    headers = _HEADERS | {"referer": f"https://www.example.com{url}"}
    return Inspected(path=unquote(path), query=tuple(parse_qsl(query, keep_blank_values=True)), headers=headers)


def _agent(agent: str) -> Inspected:
    return Inspected(path="/", headers=_HEADERS | {"user-agent": agent})


def _lines(name: str) -> list[str]:
    return [line.replace("⏎", "\n") for line in (_FOLDER / name).read_text().split("\n") if line]


WORST_CASES = [
    *("'", '"', ";", "|", "&", "%", "%27", "%2527", "<", "<a ", "(", "$(", "`", "' or ", "';", "a=", "/*", "*/", "/*/"),
    *(
        "--",
        "#",
        "\\",
        "\\u0027",
        "&#39;",
        "<script",
        "on",
        "select ",
        "union ",
        " or 1=2",
        '"on',
        "' or a=b ",
        "<x on",
    ),
    *(
        "<x a",
        "javascript",
        "j a v a ",
        "{",
        "[",
        "(select ",
        "1,",
        "and ",
        ". ",
        "x\n",
        "; a ",
        "&& b ",
        "sleep(",
        "0x",
    ),
    *("char(1", "having ", "\x00", "क", "case when ", "if(a,", "; id", "|echo ", "'||", "${a", "a ", "A", "/a", "/??"),
    *("data:", "src=", "style=e", "expression", "alert", "alert(", "''", "window[", "=alert", "print ", "<!--", "`a"),
    *("union select a ", "waitfor ", "like ", "order by ", "?a/", "a.b.", '"a" ', "\\'", "<svg onx=", "'a'or", "x=y&"),
    *("é", 'ab"+"', "<style>", "function(", "/etc/", "cat "),
    *("  a;\n", " or ab(c)=", ";a.exe", ";{ab,", "or ab(", "|ab c ", "\\u{", "j\na\n", "<script> a", " net a b"),
]
"""What makes one rule or another try hardest, to be repeated."""
