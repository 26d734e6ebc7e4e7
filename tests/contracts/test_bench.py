"""Benchmarks write to the given folder, and recorded results in the repository change only on request."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runner(monkeypatch):
    """bench/run.py with two benchmarks of this test."""
    spec = importlib.util.spec_from_file_location("bench_run", ROOT / "bench" / "run.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "bench_run", module)
    spec.loader.exec_module(module)
    scripts = {"good": "print('a table')", "bad": "import sys; print('half a table'); sys.exit('broken')"}
    monkeypatch.setattr(
        module,
        "BENCHMARKS",
        {name: module.Benchmark(90, [sys.executable, "-c", script]) for name, script in scripts.items()},
    )
    return module


class TestRun:
    def test_prints_and_stores_the_table_and_reports_the_expected_duration(self, runner, tmp_path, capsys):
        assert runner.main(tmp_path / "results", ["good"]) == 0

        output = capsys.readouterr()
        assert (tmp_path / "results" / "good.txt").read_text() == "a table\n"
        assert "a table" in output.out
        assert f"About 2 min for good. Results go to {tmp_path}/results/." in output.err
        assert "[1/1] good: 0 s of about 90 s" in output.err

    def test_keeps_the_earlier_table_if_a_benchmark_fails_and_continues(self, runner, tmp_path, capsys):
        (tmp_path / "bad.txt").write_text("earlier\n")

        assert runner.main(tmp_path, ["bad", "good"]) == 1

        assert (tmp_path / "bad.txt").read_text() == "earlier\n"
        assert (tmp_path / "good.txt").exists()
        assert "broken" in capsys.readouterr().err

    def test_lists_the_benchmarks_for_an_unknown_name(self, runner, tmp_path, capsys):
        assert runner.main(tmp_path, ["good", "fast"]) == 2

        assert capsys.readouterr().err == "There is no benchmark fast. There are: good, bad.\n"
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["bench", "chaos"])
@pytest.mark.parametrize(("arguments", "folder"), [([], "var/bench"), (["RECORD=1"], "bench/results")])
def test_make_changes_recorded_results_only_with_record(target, arguments, folder):
    command = ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/dev", target, *arguments]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert f"bench/run.py {folder} " in done.stdout
