from datetime import timedelta

import pytest

from calyapp import clock
from calyapp.audit.backups import LatestBackups
from calyapp.config import AppEnv, Settings
from calyapp.doctor import upkeep
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine
from calyapp.health.service_checks import LastScan

NOW = clock.now()
HOUR = timedelta(hours=1)


def diagnosed(check, *arguments):
    (diagnosis,) = examine([NamedCheck("it", lambda: check(*arguments))])
    return diagnosis


@pytest.fixture
def settings():
    """`settings(app_env)` returns the settings that these checks read."""
    values = Settings.from_env({"APP_ENV": "testing", "DATABASE_URL": "postgresql://caly@127.0.0.1:1/caly"})
    return lambda app_env: type("Settings", (), {"app_env": app_env, "scan_dir": values.scan_dir})


class TestBackup:
    @pytest.mark.parametrize(
        ("latest", "app_env", "verdict"),
        [
            (LatestBackups(completed_at=NOW - HOUR), AppEnv.PRODUCTION, Verdict.OK),
            (LatestBackups(completed_at=NOW - 72 * HOUR), AppEnv.PRODUCTION, Verdict.FAIL),
            (LatestBackups(failed_at=NOW - HOUR), AppEnv.PRODUCTION, Verdict.FAIL),
            (LatestBackups(started_at=NOW - 7 * HOUR), AppEnv.PRODUCTION, Verdict.FAIL),
            (LatestBackups(), AppEnv.PRODUCTION, Verdict.WARN),
            (LatestBackups(), AppEnv.DEVELOPMENT, Verdict.OK),
        ],
    )
    def test_follows_the_health_check(self, settings, latest, app_env, verdict):
        assert diagnosed(upkeep.check_backup, lambda: latest, settings(app_env)).verdict is verdict

    def test_that_failed_is_reported_with_its_reason_and_a_remedy(self, settings):
        latest = LatestBackups(failed_at=NOW, failure="There is too little room")

        found = diagnosed(upkeep.check_backup, lambda: latest, settings(AppEnv.PRODUCTION))

        assert found.found == "the last backup failed: There is too little room"
        assert "journalctl -u caly-backup" in found.remedy


class TestScan:
    @pytest.mark.parametrize(
        ("last", "verdict"),
        [
            (LastScan("PASSED", NOW, {}), Verdict.OK),
            (LastScan("WARNING", NOW, {}), Verdict.WARN),
            (LastScan("FAILED", NOW, {}), Verdict.FAIL),
            (LastScan("PASSED", NOW - 96 * HOUR, {}), Verdict.WARN),
            (None, Verdict.WARN),
        ],
    )
    def test_follows_the_health_check(self, last, verdict):
        assert diagnosed(upkeep.check_scan, lambda: last).verdict is verdict
