"""A private PostgreSQL server from Debian's binaries, with fsync and synchronous_commit on."""

import contextlib
import glob
import os
import pwd
import re
import signal
import subprocess
import time
from pathlib import Path

from . import processes
from .processes import Failed


def programs():
    """The directory of the server programs; PostgreSQL 15 before any other."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    version = lambda path: float(re.search(r"postgresql/([\d.]+)/", path)[1])
    found.sort(key=lambda path: (version(path) == 15, version(path)))
    if not found:
        raise Failed("no PostgreSQL server is installed; on Debian: apt-get install postgresql")
    return str(Path(found[-1]).parent)


class Postgres:
    """Where the server is and how to ask it."""

    def __init__(self, binaries, port):
        self.binaries, self.port = binaries, port

    def url(self, database):
        return f"postgres://sync@127.0.0.1:{self.port}/{database}"

    def psql(self, database, sql):
        command = [f"{self.binaries}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url(database)]
        return processes.run(command, 120).strip()

    def create(self, database):
        self.psql("postgres", f'CREATE DATABASE "{database}"')
        return self.url(database)

    def pgbench(self, database, script, directory, seconds, clients, **variables):
        """Transactions a second of `script`, prepared, with `clients` connections."""
        path = Path(directory) / "pgbench.sql"
        path.write_text(script)
        defines = [option for name, value in variables.items() for option in ("-D", f"{name}={value}")]
        output = processes.run(
            [
                f"{self.binaries}/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2",
                "-T", str(max(1, round(seconds))), "-f", str(path), *defines, self.url(database),
            ],
            seconds + 60,
        )
        rate = re.search(r"^tps = ([\d.]+) ", output, re.MULTILINE)
        failed = re.search(r"number of failed transactions: (\d+)", output)
        if not rate or (failed and int(failed[1]) > 0):
            raise Failed(f"pgbench: {output[-500:]}")
        return float(rate[1])


@contextlib.contextmanager
def server(directory):
    """Runs a server in `directory`; as user postgres when this script is root, because PostgreSQL refuses to be root."""
    binaries = programs()
    data = Path(directory) / "postgres"
    data.mkdir(mode=0o700)
    owner = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chmod(directory, 0o755)
        os.chown(data, user.pw_uid, user.pw_gid)
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    processes.run(
        [f"{binaries}/initdb", "-D", f"{data}/db", "-A", "trust", "-U", "sync", "-E", "UTF8", "--no-locale"], 120,
        cwd=data, **owner,
    )
    postgres = Postgres(binaries, processes.free_port())
    settings = {
        "listen_addresses": "127.0.0.1", "port": postgres.port, "unix_socket_directories": data,
        "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
        "shared_buffers": "256MB", "max_connections": 200,
        # No checkpoint in the middle of a short run.
        "max_wal_size": "4GB", "checkpoint_timeout": "30min",
    }
    options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
    with open(Path(directory) / "postgres.log", "wb") as log:
        process = processes.start([f"{binaries}/postgres", "-D", f"{data}/db", *options], log, cwd=data, **owner)
        try:
            deadline = time.monotonic() + 60
            ready = [f"{binaries}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(postgres.port)]
            while subprocess.run(ready).returncode != 0:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"PostgreSQL does not run: {Path(log.name).read_text()[-2000:]}")
                time.sleep(0.05)
            for name in ("fsync", "synchronous_commit"):
                if postgres.psql("postgres", f"SHOW {name}") != "on":
                    raise Failed(f"{name} is not on")
            yield postgres
        finally:
            processes.stop(process, signal.SIGINT)
