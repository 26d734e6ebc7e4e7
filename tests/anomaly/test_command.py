import pytest

from calyapp.anomaly.command import is_injection


@pytest.mark.parametrize(
    "text",
    [
        ";id",
        "127.0.0.1 && ls -la",
        "`whoami`",
        "$(sleep 9)",
        "x\ncat /etc/passwd",
        "a;w'h'o'a'm'i",
        "a;who$@ami",
        "/???/??t /???/??ss??",
        ";cat${ifs}/etc/passwd",
        "| net user eve x /add",
        "& powershell -nop -c iex",
        "() { :;}; /bin/bash -c id",
        "{cat,/etc/passwd}",
        "/usr/bin/id",
        "ls; id",
        ";passwd root",
        "& net localgroup administrators",
        "|ssh eve@198.51.100.4",
        "| calc.exe",
        "=cmd|'/c calc'!a0",
        ";{id,}",
        "';exit(md5('x'));//",
    ],
)
def test_an_appended_command_is_an_injection(text):
    assert is_injection(text)


@pytest.mark.parametrize(
    "text",
    [
        "a & b; r&d | sales -- thanks",
        "date & time confirmed; id verified; host & guest",
        "cd /opt/app && git pull && npm ci; systemctl restart app",
        "#!/bin/sh\nfor f in *.log; do gzip $f; done",
        "run `npm install`, then `npm test`; see `docs/setup.md` for details",
        "let a = b || c; let d = e && find(f) | sort(g);",
        "rest; sleep 8 hours; find out more; less price",
        "p&l; b&b; at&t; q&a",
        "net amount 450; net user fees extra",
        "asha; date 9.30am; time ok",
        "<td>{{ row.name | sort }}</td>",
    ],
)
def test_a_note_or_a_whole_script_is_not_an_injection(text):
    assert not is_injection(text)
