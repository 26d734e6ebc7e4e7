import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from nginx_server import guided_edit

from calyapp import clock
from calyapp.clients.directory_copy import DirectoryCopy
from calyapp.config import Settings
from calyapp.doctor import host
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine
from calyapp.spool.journal import Journal, Lane

MIB = 1024 * 1024
MOUNTS = """\
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 27 0:25 / /var/shared\\040disk rw - nfs4 server:/export rw
31 27 0:26 / /run rw,nosuid - tmpfs tmpfs rw
33 32 0:28 / /srv/local rw - xfs /dev/vdb rw
32 27 0:27 / /srv rw shared:9 master:1 - fuse.sshfs host: rw
34 27 0:29 / /mnt rw - 9p share rw
"""


def diagnosed(check, *arguments):
    (diagnosis,) = examine([NamedCheck("it", lambda: check(*arguments))])
    return diagnosis


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "spool", 64 * MIB)
    yield journal
    journal.close()


def append(journal: Journal, seconds_ago: float = 0, reason: str | None = None) -> None:
    arrived_at = clock.now() - timedelta(seconds=seconds_ago)
    journal.append(b"{}", client_id=None, lane=Lane.AWAY, arrived_at=arrived_at, reason=reason)


class TestEnvironmentFile:
    @pytest.mark.parametrize(("mode", "verdict"), [(0o600, Verdict.OK), (0o640, Verdict.OK), (0o644, Verdict.FAIL)])
    def test_must_not_be_readable_by_everyone(self, tmp_path, mode, verdict):
        file = tmp_path / "caly.env"
        file.touch()
        file.chmod(mode)

        assert diagnosed(host.check_environment_file, file).verdict is verdict

    def test_may_be_missing(self, tmp_path):
        assert diagnosed(host.check_environment_file, tmp_path / "caly.env").verdict is Verdict.OK


class TestFolder:
    def test_of_the_same_user_passes_on_a_local_disk(self, tmp_path):
        expected = {"tmpfs": Verdict.FAIL}.get(host.file_system(tmp_path, Path("/proc/self/mountinfo").read_text()))

        assert diagnosed(host.check_folder, tmp_path, os.geteuid()).verdict is (expected or Verdict.OK)

    def test_that_is_missing_fails_and_is_not_created(self, tmp_path):
        assert diagnosed(host.check_folder, tmp_path / "spool", os.geteuid()).verdict is Verdict.FAIL
        assert not (tmp_path / "spool").exists()

    def test_of_another_user_fails_and_says_which_user_to_run_as(self, tmp_path):
        found = diagnosed(host.check_folder, tmp_path, os.geteuid() + 1)

        assert found.verdict is Verdict.FAIL
        assert "sudo -u" in found.remedy


class TestFileSystem:
    @pytest.mark.parametrize(
        ("folder", "kind", "verdict"),
        [
            ("/var/lib/caly/spool", "ext4", Verdict.OK),
            ("/var/shared disk/spool", "nfs4", Verdict.FAIL),
            ("/var/shared", "ext4", Verdict.OK),
            ("/run/caly", "tmpfs", Verdict.FAIL),
            ("/srv/spool", "fuse.sshfs", Verdict.WARN),
            ("/srv/local/spool", "xfs", Verdict.OK),
            ("/mnt/spool", "9p", Verdict.FAIL),
        ],
    )
    def test_is_that_of_the_nearest_mount(self, folder, kind, verdict):
        assert host.file_system(Path(folder), MOUNTS) == kind
        assert diagnosed(lambda: [host.assess_file_system(kind)]).verdict is verdict


class TestModes:
    def test_of_the_journal_and_the_directory_pass(self, journal, tmp_path):
        append(journal)
        DirectoryCopy(tmp_path / "spool" / "directory").write([])

        assert diagnosed(host.check_modes, tmp_path / "spool").verdict is Verdict.OK

    def test_that_let_others_enter_fail(self, journal, tmp_path):
        append(journal)
        (tmp_path / "spool").chmod(0o755)

        found = diagnosed(host.check_modes, tmp_path / "spool")

        assert (found.verdict, found.remedy) == (Verdict.FAIL, f"chmod 700 {tmp_path}/spool")

    @pytest.mark.parametrize("name", ["reserve", "directory", "journal.lock"])
    def test_of_a_file_that_others_may_read_fail_and_name_it(self, journal, tmp_path, name):
        append(journal)
        DirectoryCopy(tmp_path / "spool" / "directory").write([])
        (tmp_path / "spool" / name).chmod(0o644)

        found = diagnosed(host.check_modes, tmp_path / "spool")

        assert found.verdict is Verdict.FAIL
        assert found.found == f"other users can read, in SPOOL_DIR: {name}"

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the owner of a file")
    def test_of_a_file_of_another_user_fail(self, tmp_path):
        (tmp_path / "reserve").touch(0o600)
        tmp_path.chmod(0o700)
        os.chown(tmp_path / "reserve", 12345, -1)

        assert diagnosed(host.check_modes, tmp_path).found == "owned by another user, in SPOOL_DIR: reserve"


class TestDisk:
    def test_must_have_room_for_the_maximum_size_of_the_spool(self, journal, tmp_path):
        append(journal)
        free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize

        assert diagnosed(host.check_disk, tmp_path / "spool", 16 * MIB).verdict is Verdict.OK
        assert diagnosed(host.check_disk, tmp_path / "spool", free * 2).verdict is Verdict.FAIL


class TestSpool:
    def test_that_is_empty_passes(self, journal):
        assert diagnosed(host.check_spool, journal).verdict is Verdict.OK

    def test_where_a_delivery_waits_briefly_passes(self, journal):
        append(journal)

        assert diagnosed(host.check_spool, journal).found == "deliveries waiting: 1, in quarantine: 0"

    def test_where_a_delivery_waits_too_long_fails(self, journal):
        append(journal, seconds_ago=3600)

        found = diagnosed(host.check_spool, journal)

        assert found.verdict is Verdict.FAIL
        assert "the oldest for 360" in found.found

    def test_with_a_quarantine_warns(self, journal):
        append(journal, reason="SQLSTATE 22003")

        found = diagnosed(host.check_spool, journal)

        assert (found.verdict, found.found) == (Verdict.WARN, "deliveries in quarantine: 1")

    def test_with_a_damaged_journal_set_aside_warns(self, journal, tmp_path):
        append(journal)
        (tmp_path / "spool" / "damaged-20261122T090000.db").touch(0o600)

        assert diagnosed(host.check_spool, journal).found == "damaged journals set aside: 1"

    def test_that_cannot_be_written_fails(self, tmp_path):
        (tmp_path / "file").touch()

        assert diagnosed(host.check_spool, Journal(tmp_path / "file", 64 * MIB)).verdict is Verdict.FAIL


class TestDirectory:
    def test_that_is_recent_passes(self, tmp_path):
        DirectoryCopy(tmp_path / "directory").write([])

        assert diagnosed(host.check_directory, tmp_path / "directory").verdict is Verdict.OK

    def test_that_is_old_warns(self, tmp_path):
        DirectoryCopy(tmp_path / "directory").write([])
        os.utime(tmp_path / "directory", (0, 0))

        found = diagnosed(host.check_directory, tmp_path / "directory")

        assert found.verdict is Verdict.WARN
        assert "old" in found.found

    @pytest.mark.parametrize("content", [None, b"", b"damaged"])
    def test_that_is_missing_or_damaged_warns(self, tmp_path, content):
        if content is not None:
            (tmp_path / "directory").write_bytes(content)

        assert diagnosed(host.check_directory, tmp_path / "directory").verdict is Verdict.WARN


class TestNginx:
    @pytest.fixture
    def diagnose(self, tmp_path):
        """`diagnose(text)` returns the diagnosis of an nginx.conf with this text."""

        def diagnose(text: str):
            file = tmp_path / "nginx.conf"
            file.write_text(text)
            return diagnosed(host.check_nginx, file)

        return diagnose

    def test_as_edited_by_the_guide_passes(self, tmp_path):
        file = tmp_path / "nginx.conf"
        file.write_text(DEBIAN_NGINX_CONF)
        subprocess.run([*guided_edit(), file], check=True)

        assert diagnosed(host.check_nginx, file).verdict is Verdict.OK

    def test_as_installed_by_debian_warns(self, diagnose):
        found = diagnose(DEBIAN_NGINX_CONF)

        assert found.verdict is Verdict.WARN
        assert "worker_connections is 768" in found.found

    def test_without_a_number_has_the_default_of_nginx(self, diagnose):
        assert "worker_connections is 512" in diagnose("events {\n\t# worker_connections 9999;\n}").found

    def test_with_too_few_open_files_warns(self, diagnose):
        found = diagnose("worker_rlimit_nofile 1024;\nevents { worker_connections 8192; }")

        assert found.verdict is Verdict.WARN
        assert "worker_rlimit_nofile is 1024" in found.found

    def test_is_not_checked_where_it_is_not_installed(self, journal, tmp_path):
        settings = Settings.from_env({"APP_ENV": "testing"})

        checks = host.checks(settings, journal, tmp_path / "caly.env", tmp_path / "nginx.conf")

        assert "nginx" not in [check.name for check in checks]


DEBIAN_NGINX_CONF = """\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;

events {
\tworker_connections 768;
\t# multi_accept on;
}
"""


def test_the_edit_of_the_guide_can_be_repeated(tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    for file, times in ((once, 1), (twice, 2)):
        file.write_text(DEBIAN_NGINX_CONF)
        for _ in range(times):
            subprocess.run([*guided_edit(), file], check=True)

    assert once.read_text() == twice.read_text() != DEBIAN_NGINX_CONF
