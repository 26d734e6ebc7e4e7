import pytest

from calyapp.vulnscan import programs
from calyapp.vulnscan.report import ScanError


@pytest.fixture
def module(tmp_path, monkeypatch):
    """`module(code)` writes a module with this code, and returns its name."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(code: str) -> str:
        (tmp_path / "anvil.py").write_text(code)
        return "anvil"

    return make


class TestRun:
    def test_returns_the_output_for_any_exit_code(self, module):
        completed = programs.run(module("import sys; print(sys.argv[1:]); sys.exit('failed')"), "a b", seconds=60)

        assert (completed.output, completed.errors) == ("['a b']\n", "failed\n")

    def test_passes_neither_our_keys_nor_the_settings_of_pip_audit(self, module, monkeypatch):
        for name in ("SECRET_KEY", "DATABASE_URL", "PIP_AUDIT_LOGLEVEL", "PIP_INDEX_URL", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "x")

        passed = programs.run(module("import os; print(*os.environ)"), seconds=60).output.split()

        assert {"PIP_INDEX_URL", "HTTPS_PROXY"} <= set(passed)
        assert not {"SECRET_KEY", "DATABASE_URL", "PIP_AUDIT_LOGLEVEL"} & set(passed)

    def test_ends_a_program_after_the_time_limit(self, module):
        with pytest.raises(ScanError, match="anvil did not end within 0 seconds"):
            programs.run(module("import signal; signal.pause()"), seconds=0.1)
