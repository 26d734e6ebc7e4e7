"""Real servers in temporary folders. The kernel reports whether they ended."""

import fcntl
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from calyapp.embedded.server import EmbeddedUnavailable, running, url

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder to copy, which is faster than creating one."""
    folder = tmp_path_factory.mktemp("pristine") / "data"
    with running(folder, durable=False):
        return folder


@pytest.fixture
def data(pristine: Path, tmp_path: Path) -> Path:
    """A data folder that is ready for use."""
    return shutil.copytree(pristine, tmp_path / "data")


def ask(database_url: str, *statements: str) -> list[object]:
    """Returns the first value of each statement's result."""
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        return [connection.execute(text(statement)).scalar() for statement in statements]


def create_table(database_url: str, name: str) -> None:
    with create_engine(database_url, poolclass=NullPool).begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} ()"))


def socket_folder(data: Path) -> Path:
    return Path(str(make_url(url(data)).query["host"]))


def open_server(data: Path) -> int:
    """Returns a descriptor of the running server's process. It stays valid and reports the end of the process."""
    return os.pidfd_open(int((data / "postmaster.pid").read_text().splitlines()[0]))


def dies(process: int) -> bool:
    """Waits until the process of the descriptor ends."""
    deaths, _, _ = select.select([process], [], [], 30)
    os.close(process)
    return bool(deaths)


class TestRunning:
    @pytest.mark.parametrize("depth", ["with a space", "d" * 200 + "/" + "e" * 200])
    def test_creates_a_database_in_any_folder(self, tmp_path: Path, depth: str) -> None:
        with running(tmp_path / depth / "data", durable=False) as database_url:
            answer = ask(database_url, "SELECT current_database()", "SELECT current_user", "SHOW server_encoding")

        assert answer == ["caly", "caly", "UTF8"]

    def test_works_in_a_private_folder_and_keeps_it_private(self, pristine: Path, tmp_path: Path) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        data = shutil.copytree(pristine, private / "data")

        with running(data) as database_url:
            assert ask(database_url, "SELECT 1") == [1]

        assert stat.S_IMODE(private.stat().st_mode) == 0o700

    def test_keeps_the_data_for_the_next_run(self, data: Path) -> None:
        with running(data) as database_url:
            create_table(database_url, "kept")

        with running(data) as database_url:
            assert ask(database_url, "SELECT count(*) FROM kept") == [0]

    def test_ends_the_server_and_removes_its_socket(self, data: Path) -> None:
        with running(data):
            server = open_server(data)
            assert socket_folder(data).is_dir()

        assert dies(server)
        assert not socket_folder(data).exists()

    def test_lets_only_its_own_user_reach_the_socket(self, data: Path) -> None:
        with running(data):
            assert stat.S_IMODE(socket_folder(data).stat().st_mode) == 0o700

    @pytest.mark.parametrize(("durable", "setting"), [(True, "on"), (False, "off")])
    def test_is_durable_or_fast(self, data: Path, durable: bool, setting: str) -> None:
        with running(data, durable=durable) as database_url:
            assert ask(database_url, "SHOW fsync", "SHOW synchronous_commit") == [setting, setting]

    def test_accepts_the_configured_number_of_connections(self, data: Path) -> None:
        with running(data, max_connections=17) as database_url:
            assert ask(database_url, "SHOW max_connections") == ["17"]

    def test_refuses_a_second_server_in_the_folder(self, data: Path) -> None:
        with running(data) as database_url:
            with pytest.raises(EmbeddedUnavailable, match="already runs in"), running(data):
                pass

            assert ask(database_url, "SELECT 1") == [1]

    def test_refuses_a_folder_of_another_version(self, tmp_path: Path) -> None:
        (tmp_path / "PG_VERSION").write_text("9\n")

        with pytest.raises(EmbeddedUnavailable, match="belongs to PostgreSQL 9"), running(tmp_path):
            pass

    def test_refuses_a_folder_with_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").touch()

        with pytest.raises(EmbeddedUnavailable, match="not a data folder of PostgreSQL"), running(tmp_path):
            pass

    def test_starts_again_if_the_creation_of_the_folder_was_interrupted(self, tmp_path: Path) -> None:
        interrupted = tmp_path / "data.new"
        interrupted.mkdir()
        (interrupted / "PG_VERSION").touch()

        with running(tmp_path / "data", durable=False) as database_url:
            assert ask(database_url, "SELECT 1") == [1]

        assert not interrupted.exists()

    def test_shows_the_log_of_a_server_that_does_not_start(self, data: Path) -> None:
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write("nonsense = 1\n")

        with pytest.raises(EmbeddedUnavailable, match='parameter "nonsense"'), running(data):
            pass

        assert not socket_folder(data).exists()

    def test_refuses_a_socket_folder_that_is_a_symlink(self, data: Path, tmp_path: Path) -> None:
        trap = socket_folder(data)
        trap.symlink_to(tmp_path)

        try:
            with pytest.raises(EmbeddedUnavailable, match="belongs to another user"), running(data):
                pass
        finally:
            trap.unlink()


def start_module(data: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    without = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "calyapp.embedded.server", str(data), *command],
        cwd=ROOT,
        env={**without, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_module(data: Path, *command: str, **environment: str) -> tuple[int, str, str]:
    """Runs the module. Returns exit code, output and errors."""
    with start_module(data, *command, **environment) as process:
        output, errors = process.communicate()
    return process.returncode, output, errors


def start_module_and_wait(data: Path) -> subprocess.Popen[str]:
    """Starts the module with a command that runs until it is stopped."""
    process = start_module(data, "sh", "-c", "echo ready; exec sleep 100")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


class TestMain:
    def test_passes_the_url_to_the_command_and_returns_its_exit_code(self, data: Path) -> None:
        result = run_module(data, "sh", "-c", 'echo "$DATABASE_URL"; exit 7')

        assert result == (7, f"{url(data)}\n", "")

    def test_starts_no_server_if_database_url_is_set(self, tmp_path: Path) -> None:
        result = run_module(tmp_path / "data", "sh", "-c", 'echo "$DATABASE_URL"; exit 7', DATABASE_URL="there")

        assert result == (7, "there\n", "")
        assert list(tmp_path.iterdir()) == []

    def test_stops_command_and_server_on_sigterm(self, data: Path) -> None:
        with start_module_and_wait(data) as process:
            server = open_server(data)

            process.terminate()

            assert process.wait() == 128 + signal.SIGTERM
        assert dies(server)
        assert not socket_folder(data).exists()

    def test_ends_command_and_server_when_killed(self, data: Path) -> None:
        with start_module_and_wait(data) as process:
            server = open_server(data)

            process.kill()

            process.communicate()  # returns when the command has ended too
        assert dies(server)
        with running(data) as database_url:  # remaining files do not prevent the next start
            assert ask(database_url, "SELECT 1") == [1]

    def test_reports_in_one_sentence_why_it_starts_no_server(self, tmp_path: Path) -> None:
        code, _, errors = run_module(tmp_path / "data", "true", POSTGRES_BIN=str(tmp_path))

        assert code == 1
        assert errors.startswith(f"{tmp_path} has no executable initdb")
        assert errors.count("\n") == 1

    def test_reports_the_end_of_the_server_and_stops_the_command(self, data: Path) -> None:
        with start_module_and_wait(data) as process:
            os.kill(int((data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)

            _, errors = process.communicate()

        assert process.returncode == 1
        assert errors.startswith("PostgreSQL stopped unexpectedly (signal 9), so the command was stopped too.")
        assert str(data.with_name("data.log")) in errors
        assert errors.count("\n") == 1

    def test_refuses_a_second_server_in_the_folder(self, data: Path) -> None:
        with running(data):
            code, output, errors = run_module(data, "echo", "ran")

        assert (code, output) == (1, "")
        assert errors.startswith("A PostgreSQL server already runs in")

    def test_joins_the_server_that_runs_in_the_folder(self, data: Path) -> None:
        with running(data) as database_url:
            result = run_module(Path("--join"), str(data), "sh", "-c", 'echo "$DATABASE_URL"; exit 7')

            assert result == (7, f"{database_url}\n", "")
            assert ask(database_url, "SELECT 1") == [1]

    def test_joins_a_server_that_is_starting(self, tmp_path: Path) -> None:
        lock = tmp_path / "data.lock"
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with start_module(Path("--join"), str(tmp_path / "data"), "echo", "ran") as process:
                held.close()
                output, errors = process.communicate()

        assert (process.returncode, output, errors) == (0, "ran\n", "")

    def test_starts_a_server_if_none_is_running(self, data: Path) -> None:
        result = run_module(Path("--join"), str(data), "sh", "-c", 'echo "$DATABASE_URL"; exit 7')

        assert result == (7, f"{url(data)}\n", "")
        assert not socket_folder(data).exists()

    @pytest.mark.parametrize("name", ["restored", 'a "name"/with?signs'])
    def test_creates_the_database_that_is_named(self, data: Path, name: str) -> None:
        command = (sys.executable, "-c", "import os; print(os.environ['DATABASE_URL'])")
        with running(data):
            for _ in range(2):
                _, output, errors = run_module(Path("--join"), "--database", name, str(data), *command)

            assert errors == ""
            assert ask(output.strip(), "SELECT current_database()") == [name]

    def test_explains_its_usage(self, tmp_path: Path) -> None:
        code, _, errors = run_module(tmp_path)

        assert code == 2
        assert errors.startswith("usage: ")
