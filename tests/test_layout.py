"""The shape of the repository itself."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_test_tree_mirrors_the_code_tree():
    modules = [path.relative_to(ROOT / "calyapp") for path in (ROOT / "calyapp").rglob("*.py")]
    expected = {path.with_name(f"test_{path.name}") for path in modules if path.name != "__init__.py"}

    present = {path.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}

    assert expected - present == set()
    apart = {path for path in present - expected if path.parts[0] not in ("contracts", "system")}
    assert apart == {Path("test_layout.py")}


def test_the_folder_alembic_does_not_hide_the_library():
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_the_system_tests_know_nothing_of_the_inside():
    helpers = ("child_processes", "reconciliation", "rehearsal", "running_server", "sample_records", "traffic")
    files = [
        *(ROOT / "tests" / "system").rglob("*.py"),
        *(ROOT / "tests" / "support" / f"{name}.py" for name in helpers),
    ]

    assert not [file for file in files if "import calyapp" in file.read_text() or "from calyapp" in file.read_text()]


def test_the_entry_point_is_short():
    code = [line for line in (ROOT / "wsgi.py").read_text().splitlines() if line.strip()]

    assert len(code) < 10


def test_every_target_of_the_makefile_is_explained():
    helped = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    targets = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY"))
    assert {line.split()[1] for line in helped.stdout.splitlines()} == set(targets.split()[1:])
