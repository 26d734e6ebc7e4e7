"""The structure of the repository."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_module_has_a_test():
    """A module has a test file of its own, or a test imports it. The coverage report says how much the tests run."""
    modules = [path.relative_to(ROOT / "calyapp") for path in (ROOT / "calyapp").rglob("*.py")]
    tests = list((ROOT / "tests").rglob("*.py"))
    imported = {name for path in tests for name in imports(ast.parse(path.read_text()))}

    def is_tested(module: Path) -> bool:
        name = ".".join(("calyapp", *module.with_suffix("").parts))
        return name in imported or ROOT / "tests" / module.with_name(f"test_{module.name}") in tests

    assert [module for module in modules if module.name != "__init__.py" and not is_tested(module)] == []


def imports(tree: ast.Module) -> Iterator[str]:
    """Yields every name that the module imports, as `package.module` and as `package.module.name`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_folder_alembic_does_not_shadow_the_library():
    assert not (ROOT / "alembic" / "__init__.py").exists()


def test_the_system_tests_import_nothing_of_the_application():
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
