import os
import socket
import subprocess
import sys

import pytest
from raw_http import free_port
from running_server import ROOT, Server, eventually


def test_stops_at_sigterm_and_leaves_nothing_behind(serve, tmp_path):
    server = serve("--workers", "2")
    eventually(lambda: len(server.workers()) == 2)
    workers = server.workers()

    assert server.stop() == 0

    assert len(workers) == 2
    assert not any(os.path.exists(f"/proc/{pid}") for pid in workers)
    assert not list(tmp_path.glob("caly-*"))


def test_refuses_a_pool_larger_than_the_servers_connections(database_url, tmp_path):
    environment = {**os.environ, "APP_ENV": "testing", "DATABASE_URL": database_url, "DB_POOL_MAX": "150"}

    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--workers", "2", "wsgi:app"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert "Set DB_POOL_MAX to 97 at most" in done.stderr
    assert "Traceback" not in done.stderr


def test_keeps_a_folder_that_it_did_not_create(serve, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "other.txt").touch()

    serve(PROMETHEUS_MULTIPROC_DIR=str(folder)).stop()

    assert (folder / "other.txt").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DB_POOL_MAX", "many"),
        ("APP_ENV", "prod"),
        ("WEBHOOK_ROOT_KEY", "short"),
        ("DATABASE_URL", "mysql://x/y"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [["gunicorn", "wsgi:app"], ["flask", "caly", "clients", "list"], ["alembic", "-c", "setup.cfg", "upgrade", "head"]],
)
def test_refuses_an_invalid_setting_with_a_sentence_and_no_traceback(command, variable, value):
    environment = {**os.environ, "APP_ENV": "testing", "FLASK_APP": "wsgi", variable: value}

    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["gunicorn", "wsgi:app"], ["flask", "--app", "wsgi", "caly", "clients", "list"]])
def test_refuses_a_folder_for_metrics_that_it_cannot_write_to_with_a_sentence(command):
    environment = {**os.environ, "APP_ENV": "testing", "PROMETHEUS_MULTIPROC_DIR": "/proc/metrics"}

    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.returncode != 0
    assert done.stderr.startswith("PROMETHEUS_MULTIPROC_DIR must be a folder that this user can write to")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("port", ["many", "0", "99999"])
def test_refuses_an_invalid_port_with_a_sentence(port):
    environment = {**os.environ, "APP_ENV": "testing", "PORT": port}

    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "wsgi:app"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert done.stderr == "PORT must be a whole number from 1 to 65535.\n"


def test_starts_without_the_database_and_logs_the_reason(tmp_path):
    environment = {
        **os.environ,
        "APP_ENV": "testing",
        "DATABASE_URL": "postgresql://caly:secret@127.0.0.1:1/caly",
        "SPOOL_DIR": str(tmp_path / "spool"),
        "PORT": str(free_port()),
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "wsgi:app"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    server = Server(process, int(environment["PORT"]), environment, log)
    try:
        eventually(lambda: "Booting worker" in log.read_text())
    finally:
        server.stop()

    (line,) = [line for line in server.log_lines() if line["message"] == "started without the database"]
    assert line["reason"].startswith("PostgreSQL refuses the connection: nothing listens there. Start PostgreSQL")
    assert "secret" not in log.read_text()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://caly:secret@127.0.0.1:1/caly", "nothing listens there"),
        ("postgresql://caly:secret@nowhere.invalid/caly", "does not resolve"),
        ("postgresql://caly:secret@127.0.0.1:port/caly", "DATABASE_URL must be a URL such as"),
    ],
)
def test_a_migration_says_in_a_sentence_why_it_cannot_connect(url, sentence):
    environment = {**os.environ, "APP_ENV": "testing", "DATABASE_URL": url}

    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-c", "setup.cfg", "upgrade", "head"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert sentence in done.stderr.splitlines()[0]
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_idle_connections_do_not_block_other_clients_permanently(serve):
    server = serve("--workers", "1", "--threads", "2")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
    for caller in silent:
        caller.sendall(b"GET /health/live HT")

    status, _ = server.ask("GET", "/health/live")

    assert status == 200
    for caller in silent:
        caller.close()
