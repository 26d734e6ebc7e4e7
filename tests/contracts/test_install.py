"""Error messages of the installation. Every run of these tests shows that the installation succeeds."""

import sys
from importlib import util
from pathlib import Path

import pytest
from child_processes import command_lines

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "install.py"


@pytest.fixture
def install():
    """The script as a module. It works in the current folder, which is separate for each test."""
    spec = util.spec_from_file_location("install", SCRIPT)
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 15, 0)])
def test_names_the_supported_versions_on_another_python(install, monkeypatch, capsys, version):
    monkeypatch.setattr(sys, "version_info", version)

    assert install.main([]) == 1

    assert f"Caly runs on CPython 3.11 to 3.14, and {sys.executable} is 3.{version[1]}:" in capsys.readouterr().err


def test_names_the_package_if_python_has_no_pip(install, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(install.sysconfig, "get_config_var", lambda _name: str(tmp_path))

    assert install.main([]) == 1

    assert "install the package python3-venv" in capsys.readouterr().err
    assert not (tmp_path / ".venv").exists()


def test_shows_the_last_output_of_a_failed_command(install, capsys):
    assert not install.run(["sh", "-c", "seq 30; echo no such package >&2; exit 1"], "Installing")

    errors = capsys.readouterr().err
    assert errors.endswith("\n30\nno such package\nInstalling failed.\n")
    assert "\n11\n" not in errors


def test_counts_a_package_of_several_files_once(install, tmp_path):
    file = tmp_path / "requirements.txt"
    file.write_text("# pinned\nlimits[redis]==5.8.0 \\\n    --hash=sha256:00\nredis==7.4.1 ; python_version < '4' \\\n")

    assert install.pinned(str(file)) == ["limits", "redis"]


def test_stops_its_child_processes_when_it_is_interrupted(install, monkeypatch):
    def interrupt(_output):
        raise KeyboardInterrupt

    monkeypatch.setattr(install, "PROGRESS_SECONDS", 0.01)
    monkeypatch.setattr(install, "step", interrupt)

    with pytest.raises(KeyboardInterrupt):
        install.run(["sleep", "3600"], "Installing")

    assert "sleep 3600 " not in command_lines()
