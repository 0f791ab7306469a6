"""PUT and GET of files: the server, nginx, and a process that only writes and synchronizes."""

import concurrent.futures
import contextlib
import json
import os
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import processes
from .processes import Failed
from .rows import PEERS, Row

KIB, MIB = 1 << 10, 1 << 20
# With the connections that transfer files of a size at once.
SIZES = [("64 KiB", 64 * KIB, 16), ("1 MiB", MIB, 16), ("100 MiB", 100 * MIB, 4)]
# What is read stays; what is written goes after each run.
READ, WRITTEN = "11111111", "22222222"


def _name(prefix):
    return f"{prefix}-0000-4000-8000-{{}}"


class Client:
    """One client for every server."""

    def __init__(self, directory):
        self.program = str(directory / "http-transfer")
        source = str(PEERS / "http-transfer.c")
        processes.run(["cc", "-O2", "-pthread", "-o", self.program, source], 120)
        self._number = 0

    def transfer(self, server, method, prefix, size, connections, seconds=1e9, count=0, first=None):
        """MB/s, and the share of one processor that the client used."""
        if first is None:
            first, self._number = self._number, self._number + 10_000_000
        started = time.monotonic()
        output = processes.run(
            [self.program, str(server.port), method, server.path + _name(prefix), str(size), str(connections),
             str(seconds), str(count), str(first), *(server.headers if method == "PUT" else server.headers[:1])], 240)
        rate, requests, cpu = output.split()
        if int(requests) == 0:
            raise Failed(f"no {method} ended in time")
        return float(rate), 100 * float(cpu) / (time.monotonic() - started)


class LessSync:
    """A server with files in a directory, and what a client needs there."""

    def __init__(self, binary, process, directory):
        self.process, self.directory = process, directory / "data" / "files"
        self.port = int(process.url.rsplit(":", 1)[1])
        # Makes a space with a record, to which the files belong.
        processes.run(
            [binary, "bench", "push", "--url", process.url, "--user", "files", "--operations", "1", "--warmup", "0",
             "--duration", "30"], 60)
        with contextlib.closing(sqlite3.connect(directory / "data" / "less-sync.db")) as database:
            space, record = database.execute("SELECT space_id, id FROM records LIMIT 1").fetchone()
        text = lambda value: value if isinstance(value, str) else "-".join(
            value.hex()[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        request = urllib.request.Request(
            process.url + "/dev/token", json.dumps({"user": "files-0", "client": "less-sync-bench"}).encode())
        with urllib.request.urlopen(request) as response:
            token = json.load(response)["token"]
        self.path = f"/api/v1/spaces/{text(space)}/files/"
        # A wrapped key of epoch 1.
        self.headers = [
            f"Authorization: Bearer {token}", f"X-Record-ID: {text(record)}", f"X-Wrapped-DEK: AAAAAQ{'A' * 53}="]

    def clean(self):
        for path in self.directory.glob(f"spaces/*/files/{WRITTEN}-*"):
            path.unlink()

    def memory(self, field):
        """KiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1])
        raise Failed(f"no {field}")

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def less_sync(binary, directory):
    directory.mkdir()
    with processes.less_sync(binary, "dev", directory) as process:
        yield LessSync(binary, process, directory)


class Nginx:
    path = "/"
    headers = ["X-Nothing: 1"]

    def __init__(self, port, directory):
        self.port, self.directory = port, directory

    def clean(self):
        for path in self.directory.glob(f"{WRITTEN}-*"):
            path.unlink()


NGINX = """
daemon off; worker_processes auto; pid {root}/pid; error_log {root}/log warn; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; client_max_body_size 200m;
    default_type application/octet-stream;
    client_body_temp_path {root}/temp; proxy_temp_path {root}/temp; fastcgi_temp_path {root}/temp;
    uwsgi_temp_path {root}/temp; scgi_temp_path {root}/temp;
    server {{ listen 127.0.0.1:{port}; root {root}/files; location / {{ dav_methods PUT; }} }}
}}
"""


@contextlib.contextmanager
def nginx(directory):
    """As Debian configures it, `sendfile` and all, with PUT allowed. Below /usr/sbin, where it is not on everybody's path."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Failed("no nginx: apt-get install nginx-light")
    (directory / "files").mkdir(parents=True)
    port = processes.free_port()
    configuration = directory / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    configuration.write_text(NGINX.format(root=directory, port=port, user=user))
    with open(directory / "output", "wb") as log:
        process = processes.start([program, "-p", str(directory), "-c", str(configuration), "-e", f"{directory}/log"], log)
        try:
            deadline = time.monotonic() + 10
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/none", timeout=1)
                except urllib.error.HTTPError:
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise Failed(f"nginx does not run: {(directory / 'log').read_text()[-1000:]}") from None
                time.sleep(0.01)
            yield Nginx(port, directory / "files")
        finally:
            # Ends its workers too.
            processes.stop(process)


class Disk:
    """Writes files as durably as the server does, and does nothing else."""

    def __init__(self, directory):
        self.directory = directory
        self.piece = memoryview(os.urandom(MIB))
        directory.mkdir()
        self.number = 0

    def _write(self, size, number):
        temporary = self.directory / f"temporary-{number}"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        left = size
        while left > 0:
            left -= os.write(descriptor, self.piece[: min(left, MIB)])
        os.fdatasync(descriptor)
        os.close(descriptor)
        os.rename(temporary, self.directory / f"file-{number}")
        descriptor = os.open(self.directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def rate(self, size, writers, seconds):
        started, done = time.monotonic(), 0

        def work(worker):
            count = 0
            while time.monotonic() - started < seconds:
                self._write(size, f"{self.number}-{worker}-{count}")
                count += 1
            return count

        self.number += 1
        with concurrent.futures.ThreadPoolExecutor(writers) as pool:
            done = sum(pool.map(work, range(writers)))
        rate = done * size / (time.monotonic() - started) / 1e6
        for path in self.directory.iterdir():
            path.unlink()
        return rate


class Transfers:
    """What the rows share. `details` is what `rounds.measure` collects."""

    def __init__(self, client, server, nginx, disk, seconds):
        self.client, self.server, self.nginx, self.disk, self.seconds = client, server, nginx, disk, seconds
        self.details = {}

    def _measure(self, name, server, method, size, connections):
        if method == "GET":
            # One file, from the page cache of the machine: the disk is the same for both.
            rate, share = self._get(server, size, connections)
        else:
            rate, share = self.client.transfer(server, "PUT", WRITTEN, size, connections, seconds=self.seconds)
            server.clean()
        self.details.setdefault(f"client CPU % ({name})", []).append(share)
        return rate

    def _get(self, server, size, connections):
        # The name of a file is its size, so that every request is for the same one.
        path, server.path = server.path, server.path + _name(READ).replace("{}", f"{size:012x}") + "?"
        try:
            return self.client.transfer(server, "GET", "", size, connections, seconds=self.seconds)
        finally:
            server.path = path

    def prepare(self):
        for server in (self.server, self.nginx):
            for _, size, _ in SIZES:
                self.client.transfer(server, "PUT", READ, size, 1, count=1, first=size)

    def row(self, method, text, size, connections):
        contenders = {
            "less-sync": lambda: self._measure("less-sync", self.server, method, size, connections),
            "nginx": lambda: self._measure("nginx", self.nginx, method, size, connections),
        }
        if method == "PUT":
            contenders["write and sync"] = lambda: self.disk.rate(size, connections, self.seconds)
        target = 0.6 if method == "GET" and size >= MIB else None
        return Row(
            f"{method} {text}", f"{method} {text}", "MB/s", target, contenders,
            lambda figures: figures["less-sync"] / figures["nginx"], unit="")


def memory(client, binary, directory):
    """What transfers of 100 MiB add to the resident memory: a list of (what, before, peak) in KiB."""
    results = []
    with less_sync(binary, directory) as server:
        # What every file needs once is there after these.
        for method in ("PUT", "GET"):
            client.transfer(server, method, READ, 3 * MIB, 1, count=1, first=1)
        for what, method, connections, prefix in (
            ("one upload", "PUT", 1, WRITTEN), ("one download", "GET", 1, WRITTEN),
            ("ten uploads at once", "PUT", 10, READ), ("ten downloads at once", "GET", 10, READ),
        ):
            server.forget_peak()
            before = server.memory("VmRSS")
            client.transfer(
                server, method, prefix, 100 * MIB, connections, count=connections, first=100)
            results.append((what, before, server.memory("VmHWM")))
    return results
