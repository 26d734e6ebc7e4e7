import hashlib
import os
from pathlib import Path

import pytest
import sample_records

from calyapp.backup import backup as backups
from calyapp.db import migrations

ENTRIES = (
    "SELECT event_type, severity, status, metadata - 'actor' FROM audit_logs "
    "WHERE event_type ~ 'BACKUP|RESTORED' ORDER BY created_at"
)


@pytest.fixture
def entries(query):
    """`entries()` returns the audit entries of backups and restorations."""
    return lambda: query(ENTRIES)


@pytest.fixture
def made(told, query, tmp_path):
    """The JSON output of a backup of three calls."""
    sample_records.fill(query, calls=3)
    return told("backup", tmp_path / "backups")


class TestBackup:
    def test_prints_and_audits_its_result(self, told, entries, tmp_path):
        first = told("backup", tmp_path / "backups")
        second = told("backup", tmp_path / "backups", "--keep", 1)

        assert list(second) == ["file", "bytes", "seconds", "removed"]
        assert second["removed"] == [first["file"].rpartition("/")[2]]
        started, completed = entries()[2:]
        assert started == ("BACKUP_STARTED", "LOW", "success", {"folder": str(tmp_path / "backups")})
        assert completed[:3] == ("BACKUP_COMPLETED", "LOW", "success")
        assert completed[3].pop("rowsAbout").keys() >= {"clients", "calls", "deliveries", "audit_logs"}
        assert completed[3] == second

    def test_keeps_14_backups_by_default(self, caly):
        assert "[default: 14;" in caly("backup", "--help").stdout

    def test_exits_with_1_and_audits_a_failure(self, caly, entries, tmp_path, monkeypatch):
        monkeypatch.setenv("POSTGRES_BIN", str(tmp_path))

        result = caly("backup", tmp_path / "backups")

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: There is no pg_dump here, and the server has version ")
        failed = entries()[-1]
        assert failed[:3] == ("BACKUP_FAILED", "HIGH", "failure")
        assert failed[3] == {"reason": result.stderr.removeprefix("Error: ").strip()}

    def test_audits_only_the_type_of_an_unexpected_exception(self, caly, entries, tmp_path, monkeypatch):
        def fail(*_arguments, **_options):
            raise RuntimeError("+919876543210")

        monkeypatch.setattr(backups, "make", fail)

        caly("backup", tmp_path / "backups")

        assert entries()[-1] == ("BACKUP_FAILED", "HIGH", "failure", {"reason": "RuntimeError"})

    def test_audits_that_it_may_not_read_the_folder(self, caly, entries, tmp_path, monkeypatch):
        monkeypatch.setattr(os, "access", lambda *_arguments, **_options: False)  # root may read every folder
        folder = tmp_path / "backups"
        folder.mkdir()
        (folder / "backup.lock").mkdir()

        result = caly("backup", folder)

        assert (result.exit_code, entries()[-1][0]) == (1, "BACKUP_FAILED")

    @pytest.mark.parametrize("wrong", [["backup"], ["backup", "here", "--keep", "0"]])
    def test_exits_with_2_for_invalid_arguments(self, caly, wrong):
        assert caly(*wrong).exit_code == 2


class TestRestore:
    def test_prints_the_contents_of_the_restored_database(self, told, made, empty_database_url):
        restored = told("restore", made["file"], "--into", empty_database_url)

        assert restored == {
            "file": made["file"].rpartition("/")[2],
            "revision": migrations.head(),
            "clients": 1,
            "calls": 3,
            "deliveries": 12,
            "audit_logs": 13,
            "needsMigration": False,
        }

    def test_is_audited_in_the_restored_database(self, told, made, empty_database_url, query_empty, entries):
        restored = told("restore", made["file"], "--into", empty_database_url)

        (started, noted) = query_empty(ENTRIES)
        assert started[0] == "BACKUP_STARTED"
        assert noted[:3] == ("DATABASE_RESTORED", "HIGH", "success")
        assert len(noted[3].pop("sha256")) == 64
        assert noted[3] | {"needsMigration": False} == restored
        assert [entry[0] for entry in entries()] == ["BACKUP_STARTED", "BACKUP_COMPLETED"]

    def test_refuses_a_database_that_is_not_empty(self, caly, made):
        result = caly("restore", made["file"])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: The database is not empty (it has alembic_version, api_keys, ")

    def test_asks_for_the_migration_after_an_older_backup(self, caly, query, tmp_path, told, empty_database_url):
        query("UPDATE alembic_version SET version_num = '0000'")
        made = told("backup", tmp_path)

        result = caly("restore", made["file"], "--into", empty_database_url)

        assert result.exit_code == 0
        assert "needsMigration  yes\n" in result.stdout
        assert "run `alembic -c setup.cfg upgrade head`" in result.stderr

    def test_names_the_option_if_its_database_is_unreachable(self, caly, made):
        result = caly("restore", made["file"], "--into", "postgresql://caly@127.0.0.1:1/caly")

        assert result.exit_code == 1
        assert "correct the host and port in --into." in result.stderr

    def test_exits_with_1_if_the_file_is_damaged(self, caly, made, tmp_path, empty_database_url):
        with open(made["file"], "ab") as file:
            file.write(b"x")

        result = caly("restore", made["file"], "--into", empty_database_url)

        assert result.exit_code == 1
        assert result.stderr.startswith("Error: The backup is damaged")

    def test_reads_standard_input_and_prints_its_checksum(self, caly, made, empty_database_url, query_empty):
        content = Path(made["file"]).read_bytes()

        result = caly("restore", "-", "--into", empty_database_url, stdin=content)

        assert result.exit_code == 0
        assert "calls           3\n" in result.stdout
        digest = hashlib.sha256(content).hexdigest()
        assert f"SHA-256 of the backup: {digest}." in result.stderr
        ((*_, metadata),) = query_empty(f"{ENTRIES} DESC LIMIT 1")
        assert (metadata["file"], metadata["sha256"]) == ("-", digest)

    @pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
    def test_stores_nothing_of_a_truncated_input(self, caly, made, empty_database_url, query_empty, share):
        content = Path(made["file"]).read_bytes()

        result = caly("restore", "-", "--into", empty_database_url, stdin=content[: int(share * len(content))])

        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("Error: pg_restore failed with exit code 1")
        assert query_empty("SELECT to_regclass('calls')") == [(None,)]

    @pytest.mark.parametrize("wrong", [["nowhere.dump"], ["nowhere.dump", "--into", "mysql://here"]])
    def test_exits_with_2_for_invalid_arguments(self, caly, wrong):
        assert caly("restore", *wrong).exit_code == 2
