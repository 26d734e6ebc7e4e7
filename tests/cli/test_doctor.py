import json

import pytest

from calyapp.app import create_app
from calyapp.config import Settings


class TestDoctor:
    def test_prints_a_line_for_each_check_and_the_totals(self, caly):
        result = caly("doctor")

        first, *_, last = result.stdout.splitlines()
        assert first.split(maxsplit=2)[:2] == ["warn", "configuration"]
        assert last.split(":")[0].endswith("checks")

    def test_prints_json(self, caly):
        result = caly("doctor", "--json")

        diagnoses = json.loads(result.stdout)
        assert {tuple(one) for one in diagnoses} == {("check", "verdict", "found", "remedy")}
        assert {one["verdict"] for one in diagnoses} <= {"ok", "warn", "fail"}
        assert all(one["remedy"] for one in diagnoses if one["verdict"] != "ok")

    def test_prints_no_line_wider_than_the_terminal(self, caly, monkeypatch):
        monkeypatch.setenv("COLUMNS", "80")

        assert max(map(len, caly("doctor").stdout.splitlines())) <= 80

    @pytest.mark.parametrize("options", [["--http-url", "http://caly.example"], ["--url", "caly.example"]])
    def test_exits_with_2_for_invalid_options(self, caly, options):
        assert caly("doctor", *options).exit_code == 2


class TestDoctorWithoutDatabase:
    @pytest.fixture
    def app(self):
        settings = {"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly:canary@127.0.0.1:1/caly"}
        app = create_app(Settings.from_env(settings))
        yield app
        app.extensions["caly"].close()

    def test_exits_with_1_and_shows_neither_password_nor_log_lines(self, caly):
        result = caly("doctor")

        assert (result.exit_code, result.stderr) == (1, "")
        assert "nothing listens there" in " ".join(result.stdout.split())
        assert "canary" not in result.output
