"""The workloads F1 to F8 of the performance document: for each what is measured, and against what."""

import contextlib
import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import Callable

from . import postgres, processes, pushes
from .processes import Failed

PEERS = Path(__file__).resolve().parent / "peers"
BLOB = "\\x" + os.urandom(1024).hex()
DEVELOPMENT_ISSUER = "http://localhost:5379/dev"


@dataclasses.dataclass
class Row:
    """A ratio to reach. `contenders` are measured in turns; each returns a figure, and may add to `details`."""

    name: str
    workload: str
    measure: str
    # `None`: told, not judged.
    target: float | None
    contenders: dict[str, Callable[[], float]]
    # What the figures of the server and of the peer have to be divided by each other for; `at_most` turns it round.
    ratio: Callable[[dict[str, float]], float]
    at_most: bool = False
    unit: str = "/s"

    def is_met(self, ratio):
        if self.target is None:
            return True
        return ratio <= self.target if self.at_most else ratio >= self.target


class Bench:
    """The programs, and where they work."""

    def __init__(self, binaries, directory, seconds, scale):
        self.binaries, self.directory, self.seconds, self.scale = Path(binaries), Path(directory), seconds, scale
        self.less_sync = str(self.binaries / "less-sync")
        self.plain = str(self.binaries / "plain-websocket")
        self.details = {}
        self.issuer = None
        self.postgres = None

    def note(self, name, value):
        self.details.setdefault(name, []).append(value)

    def compile(self, name, *libraries):
        """A peer in C, compiled when it is first used."""
        target = self.directory / name
        if not target.exists():
            flags = subprocess.run(["pkg-config", "--cflags", "--libs", *libraries], capture_output=True, text=True)
            if flags.returncode != 0:
                raise Failed(flags.stderr.strip())
            processes.run(["cc", "-O2", "-o", str(target), str(PEERS / f"{name}.c"), *flags.stdout.split()], 120)
        return str(target)

    def peer(self, name, *arguments):
        return float(processes.run([str(self.directory / name), *map(str, arguments)], self.seconds + 120))

    def load(self, scenario, url, *options, pid=None, warmup=None, duration=None):
        """The JSON result of `less-sync bench`."""
        duration = self.seconds if duration is None else duration
        warmup = min(1, duration / 4) if warmup is None else warmup
        command = [
            self.less_sync, "bench", scenario, "--url", url, "--json", "--duration", str(duration), "--warmup",
            str(warmup), *map(str, options),
        ]
        if self.issuer and "--bare" not in options and scenario != "echo":
            command += ["--dev-issuer", self.issuer]
        if pid:
            command += ["--server-pid", str(pid)]
        return json.loads(processes.run(command, duration + warmup + 300))

    @contextlib.contextmanager
    def server(self, backend, name):
        """A server with a new database."""
        if backend == "sqlite":
            url = f"sqlite:{self.directory}/{name}.db"
        else:
            url = self.postgres.create(name)
        trusted = f"{DEVELOPMENT_ISSUER}={self.issuer}/dev/.well-known/jwks.json"
        with processes.less_sync(
            self.less_sync, "serve", self.directory, DATABASE_URL=url, TRUSTED_ISSUERS=trusted
        ) as process:
            process.database = name if backend == "postgres" else f"{self.directory}/{name}.db"
            yield process

    def peer_database(self, backend, name, spaces=1):
        """A database with the schema and the functions that a server leaves behind."""
        with self.server(backend, name) as process:
            database = process.database
        if backend == "postgres":
            self.postgres.psql(database, pushes.CREATE_SPACES.format(spaces))
        return database

    def push(self, server, *options):
        result = self.load("push", server.url, "--user", "ratios", *options, pid=server.pid)
        push = result["operations"]["push"]
        self.note("server CPU µs/record", result["server"]["cpu_seconds"] * 1e6 / push["records"])
        self.note("server CPU %", 100 * result["server"]["cpu_seconds"] / result["seconds"])
        self.note("load generator CPU %", 100 * result["load_cpu_seconds"] / result["seconds"])
        self.note("p50 ms", push["latency_us"]["p50"] / 1000)
        self.note("p99 ms", push["latency_us"]["p99"] / 1000)
        return push["records_per_second"]


@contextlib.contextmanager
def pushes_on_postgres(bench, name, workload, clients, spaces, target, records=1):
    own = records > 1
    peer = bench.peer_database("postgres", f"{name}_peer".lower(), max(spaces, clients))

    def pgbench(script, **variables):
        rate = bench.postgres.pgbench(peer, script, bench.directory, bench.seconds, clients, **variables)
        return rate * records

    if records == 1:
        call = lambda: pgbench(pushes.call(spaces), blob=BLOB)
    else:
        call = lambda: pgbench(pushes.array_call(spaces, records, BLOB))
    statements = lambda: pgbench(pushes.statements(spaces, records, own), blob=BLOB)
    options = ["--clients", clients, "--spaces", spaces, "--batch", records]
    with bench.server("postgres", f"{name}_server".lower()) as server:
        yield Row(
            name, workload, "records/s ÷ pgbench, one call" if records > 1 else "pushes/s ÷ pgbench, one call", target,
            {"pgbench, statements": statements, "pgbench, one call": call,
             "server": lambda: bench.push(server, *options)},
            lambda figures: figures["server"] / figures["pgbench, one call"],
        )


@contextlib.contextmanager
def f1(bench):
    with pushes_on_postgres(
        bench, "F1", "push 1 KiB, 32 clients, 1,000 spaces, PostgreSQL", 32, bench.scale(1000), 1.0) as row:
        yield row


@contextlib.contextmanager
def f2(bench):
    with pushes_on_postgres(bench, "F2", "push 1 KiB, 32 clients, one space, PostgreSQL", 32, 1, 4.0) as row:
        yield row


@contextlib.contextmanager
def f3(bench):
    with pushes_on_postgres(bench, "F3", "push 100 × 1 KiB, 8 clients, PostgreSQL", 8, 8, 0.8, records=100) as row:
        yield row


@contextlib.contextmanager
def f4(bench):
    bench.compile("sqlite-push", "sqlite3")
    peer = bench.peer_database("sqlite", "f4-peer")
    with bench.server("sqlite", "f4-server") as server:
        yield Row(
            "F4", "push 1 KiB, 32 clients, SQLite synchronous FULL", "pushes/s ÷ raw SQLite, a transaction each", 8.0,
            {"raw SQLite": lambda: bench.peer("sqlite-push", peer, bench.seconds, 32, 1024),
             "server": lambda: bench.push(server, "--clients", 32)},
            lambda figures: figures["server"] / figures["raw SQLite"],
        )


@contextlib.contextmanager
def pull(bench, backend, peer_name, library, peer_program, peer_place):
    records = 10_000
    bench.compile(peer_program, library)
    name = f"f5_{backend}"
    with bench.server(backend, name) as server:
        common = ["--user", "ratios", "--record-size", 1024]
        bench.load("pull", server.url, *common, "--records", records, "--operations", 1, warmup=0)

        def measured():
            result = bench.load("pull", server.url, *common, "--records", 0, pid=server.pid)
            pulls = result["operations"]["pull"]
            if pulls["records"] != records * pulls["count"]:
                raise Failed("a pull brought another number of records")
            bench.note("server CPU µs/record", result["server"]["cpu_seconds"] * 1e6 / pulls["records"])
            bench.note("server CPU %", 100 * result["server"]["cpu_seconds"] / result["seconds"])
            bench.note("load generator CPU %", 100 * result["load_cpu_seconds"] / result["seconds"])
            return pulls["records_per_second"]

        yield Row(
            "F5", f"pull 10,000 × 1 KiB, {'PostgreSQL' if backend == 'postgres' else 'SQLite'}", f"rows/s ÷ {peer_name}",
            0.5,
            {peer_name: lambda: bench.peer(peer_program, peer_place(server.database), bench.seconds, records),
             "server": measured},
            lambda figures: figures["server"] / figures[peer_name],
        )


def f5_postgres(bench):
    return pull(
        bench, "postgres", "COPY binary", "libpq", "copy-binary", lambda database: bench.postgres.url(database))


def f5_sqlite(bench):
    return pull(bench, "sqlite", "stepping in C", "sqlite3", "sqlite-scan", lambda database: database)


@contextlib.contextmanager
def f6(bench):
    subscribers = bench.scale(1000)
    options = ["--subscribers", subscribers, "--window", 16]

    def deliveries(process, *more):
        result = bench.load("fanout", process.url, *options, *more, pid=process.pid)
        count = result["operations"]["delivery"]["count"]
        kind = "plain" if more else "server"
        bench.note(f"{kind}: deliveries/s", count / result["seconds"])
        bench.note(f"{kind}: CPU µs/delivery", result["server"]["cpu_seconds"] * 1e6 / count)
        return count / result["server"]["cpu_seconds"]

    with bench.server("sqlite", "f6") as server, processes.plain_websocket(
        bench.plain, "broadcast", bench.directory
    ) as plain:
        yield Row(
            "F6", f"fan-out 1 → {subscribers:,}, 1 KiB", "deliveries per CPU second ÷ plain NIO broadcast", 1.7,
            {"plain NIO": lambda: deliveries(plain, "--bare"), "server": lambda: deliveries(server)},
            lambda figures: figures["server"] / figures["plain NIO"], unit=" per CPU s",
        )


@contextlib.contextmanager
def f7(bench):
    connections = bench.scale(10_000)
    runs = iter(range(1000))

    def resident():
        with bench.server("sqlite", f"f7-{next(runs)}") as server:
            result = bench.load(
                "idle", server.url, "--connections", connections, pid=server.pid, warmup=0,
                duration=min(2, bench.seconds))
        bench.note("before, MiB", result["server"]["resident_bytes_before"] / 2**20)
        bench.note("connect p50 ms", result["operations"]["connect"]["latency_us"]["p50"] / 1000)
        grown = result["server"]["resident_bytes_end"] - result["server"]["resident_bytes_before"]
        return grown / connections / 1024

    yield Row(
        "F7", f"{connections:,} idle connections", "resident KiB per connection", 16.0, {"server": resident},
        lambda figures: figures["server"], at_most=True, unit=" KiB",
    )


@contextlib.contextmanager
def f8(bench):
    def notification():
        result = bench.load("fanout", server.url, "--subscribers", 100, "--rate", 20, pid=server.pid)
        latencies = result["operations"]["after_answer"]["latency_us"]
        bench.note("server p50 µs", latencies["p50"])
        bench.note("push to notification, p99 µs", result["operations"]["delivery"]["latency_us"]["p99"])
        return latencies["p99"]

    def echo():
        result = bench.load("echo", plain.url, "--rate", 100, pid=plain.pid)
        bench.note("echo p99 µs", result["operations"]["echo"]["latency_us"]["p99"])
        return result["operations"]["echo"]["latency_us"]["p50"]

    with bench.server("sqlite", "f8") as server, processes.plain_websocket(
        bench.plain, "echo", bench.directory
    ) as plain:
        yield Row(
            "F8", "notification after the push, 100 subscribers, 20 pushes/s",
            "p99 of answer → notification ÷ p50 of a plain echo", 5.0, {"plain echo, p50": echo, "server": notification},
            lambda figures: figures["server"] / figures["plain echo, p50"], at_most=True, unit=" µs",
        )


# Name, needs PostgreSQL, how to make it.
ALL = [
    ("F1", True, f1), ("F2", True, f2), ("F3", True, f3), ("F4", False, f4), ("F5", True, f5_postgres),
    ("F5", False, f5_sqlite), ("F6", False, f6), ("F7", False, f7), ("F8", False, f8),
]


@contextlib.contextmanager
def environment(binaries, directory, seconds, scale, needs_postgres):
    """Everything that the rows share: an issuer and a database server."""
    bench = Bench(binaries, directory, seconds, scale)
    with contextlib.ExitStack() as stack:
        issuer = stack.enter_context(processes.less_sync(bench.less_sync, "dev", directory))
        bench.issuer = issuer.url
        if needs_postgres:
            bench.postgres = stack.enter_context(postgres.server(directory))
        yield bench
