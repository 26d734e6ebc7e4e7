"""How Gunicorn runs Caly: threads in a few processes, each with its own connections."""

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
    # A socket of systemd's comes before it; `unix:/path` puts nginx in front without one.
    bind = os.environ.get("BIND") or str(listen_address.from_env(os.environ))
except ConfigurationError as error:
    sys.exit(str(error))

# One a core, two at least, so that one that dies leaves another; but only where Redis counts for all of them together.
workers = settings.workers
worker_class = "calyapp.web.gunicorn_worker.Worker"
# Of a delivery's two milliseconds a worker computes for one, under Python's lock, and waits for the other: two threads
# keep a core busy. The others are for a slow minute, when a thread is with PostgreSQL for a second and a half.
threads = 8
preload_app = True  # loaded once, its memory shared by all workers; new code comes by a restart
timeout = 30
graceful_timeout = 25
keepalive = 2  # seconds; nginx, which is the one to send, closes an idle connection before that
max_requests = 100_000  # a slow leak never grows old …
max_requests_jitter = 10_000  # … and the workers do not go all at once
limit_request_line = 8190  # Exotel nests a whole URL, percent-encoded twice, into the query
accesslog = None  # the application logs each request itself, without numbers and keys
forwarded_allow_ips = ""  # whom to believe is decided in one place, calyapp/web/pipeline/proxy.py …
secure_scheme_headers: dict[str, str] = {}  # … for a peer on a unix socket too, which Gunicorn always believes
forwarder_headers = ""
control_socket_disable = True

# Before prometheus-client is imported for the first time, and the same for all workers; kept over a reload.
OWN_METRICS = "caly-metrics-"
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=OWN_METRICS)


def on_starting(server: Any) -> None:
    """Refuse to start where the workers together could use up the server's connections.

    Without the database the service starts all the same: calls are answered, and deliveries wait on the spool.
    """
    from calyapp.db import connection_budget, connection_errors  # not before the folder for metrics is made
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
    """The application is loaded, and no worker is forked yet."""
    from calyapp import metrics

    metrics.leave()
    gc.collect()
    gc.freeze()  # what is there now stays: a collection would write into every page of it and so copy it


def post_worker_init(worker: Any) -> None:
    """In the worker, after the fork: threads do not survive one."""
    worker.app.callable.extensions["caly"].start()


def worker_exit(_server: Any, worker: Any) -> None:
    """The worker has answered its last request."""
    if worker.app.callable is not None:
        worker.app.callable.extensions["caly"].close()


def on_exit(server: Any) -> None:
    """The last process of the service is gone, unless another took over by USR2. Removes only what was made here."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    if folder.name.startswith(OWN_METRICS) and not server.reexec_pid:
        shutil.rmtree(folder, ignore_errors=True)
