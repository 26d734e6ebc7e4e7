"""Gunicorn's configuration: a few processes with threads, each process with its own connections."""

import gc
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from calyapp import listen_address
from calyapp.config import ConfigurationError, Settings

try:
    settings = Settings.from_env(os.environ)
    # A socket from systemd takes precedence. `unix:/path` is for nginx on the same host.
    bind = os.environ.get("BIND") or str(listen_address.from_env(os.environ))
except ConfigurationError as error:
    sys.exit(str(error))

# One for each core, at least two, so that one remains if another dies; one if there is no Redis that counts for all.
workers = settings.workers
worker_class = "calyapp.web.gunicorn_worker.Worker"
# A delivery takes 2 ms: 1 ms of computing under Python's lock and 1 ms of waiting, so two threads keep a core busy. The
# other threads are for times when PostgreSQL is slow, and a delivery waits up to 1.5 s.
threads = 8
preload_app = True  # loaded once; the workers share its memory. New code requires a restart
timeout = 30
graceful_timeout = 25
keepalive = 2  # seconds; longer than nginx, the client, keeps an idle connection
max_requests = 100_000  # bounds a slow memory leak …
max_requests_jitter = 10_000  # … and the workers are not replaced all at once
limit_request_line = 8190  # Exotel nests a whole URL, percent-encoded twice, into the query
accesslog = None  # the application logs each request itself, without numbers and keys
forwarded_allow_ips = ""  # trust is decided in one place, calyapp/web/pipeline/proxy.py …
secure_scheme_headers: dict[str, str] = {}  # … also for a unix socket, which Gunicorn always trusts
forwarder_headers = ""
control_socket_disable = True

# Must be set before prometheus-client is imported. All workers use the same folder, also after a reload.
OWN_METRICS = "caly-metrics-"
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=OWN_METRICS)


def on_starting(server: Any) -> None:
    """Refuses to start if the workers together could exhaust the server's connections.

    Starts without the database: calls are answered, and deliveries wait in the spool.
    """
    from calyapp.db import connection_budget, connection_errors  # imported after the folder for metrics is set
    from calyapp.errors import DatabaseError

    try:
        shortage = connection_budget.shortage_at_start(settings, server.cfg.workers)
    except DatabaseError as error:
        reason = {"reason": str(connection_errors.explain(error))}
        logging.getLogger("calyapp").warning("started without the database", extra={"fields": reason})
    else:
        if shortage:
            sys.exit(f"{shortage.found}. {shortage.remedy}")


def when_ready(_server: Any) -> None:
    """Runs after the application is loaded, before the first worker is forked."""
    from calyapp import metrics

    metrics.leave()
    gc.collect()
    gc.freeze()  # a collection would write to these shared pages, and so copy them


def post_worker_init(worker: Any) -> None:
    """Starts the background tasks in the worker, because threads do not survive a fork."""
    worker.app.callable.extensions["caly"].start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Closes the services after the worker's last request."""
    if worker.app.callable is not None:
        worker.app.callable.extensions["caly"].close()


def on_exit(server: Any) -> None:
    """Removes the metrics folder if it was created here, unless another process took over after USR2."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if folder.name.startswith(OWN_METRICS) and not server.reexec_pid:
        shutil.rmtree(folder, ignore_errors=True)
