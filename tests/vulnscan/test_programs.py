import pytest

from calyapp.vulnscan import programs
from calyapp.vulnscan.report import NotLookedAt


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module(code)`: the name of a module that does so."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(code: str) -> str:
        (tmp_path / "anvil.py").write_text(code)
        return "anvil"

    return make


class TestRun:
    def test_gives_what_was_printed_whatever_the_exit_code(self, module):
        ended = programs.run(module("import sys; print(sys.argv[1:]); sys.exit('alas')"), "a b", seconds=60)

        assert (ended.output, ended.complaints) == ("['a b']\n", "alas\n")

    def test_hands_on_neither_our_keys_nor_what_changes_pip_audits_mind(self, module, monkeypatch):
        for name in ("SECRET_KEY", "DATABASE_URL", "PIP_AUDIT_LOGLEVEL", "PIP_INDEX_URL", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "x")

        handed = programs.run(module("import os; print(*os.environ)"), seconds=60).output.split()

        assert {"PIP_INDEX_URL", "HTTPS_PROXY"} <= set(handed)
        assert not {"SECRET_KEY", "DATABASE_URL", "PIP_AUDIT_LOGLEVEL"} & set(handed)

    def test_ends_what_does_not_end(self, module):
        with pytest.raises(NotLookedAt, match="anvil did not end within 0 seconds"):
            programs.run(module("import signal; signal.pause()"), seconds=0.1)
