"""Processes that end with this one, and what the machine did meanwhile."""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ticks = os.sysconf("SC_CLK_TCK")
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """A measurement could not be made."""


def _end_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(arguments, log, **options):
    """A process of its own session, whose output goes to `log`. It is killed if this script is."""
    return subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=options.pop("stdout", log), stderr=log, start_new_session=True,
        preexec_fn=_end_with_parent, **options,
    )


def stop(process, number=signal.SIGTERM, patience=30):
    """Ends a process that `start` has made, by its id."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def run(arguments, timeout, **options):
    """Runs a program to its end and returns its standard output."""
    process = subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=_end_with_parent, **options,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"{Path(arguments[0]).name} did not end within {timeout} s") from None
    finally:
        stop(process, signal.SIGKILL)
    if process.returncode != 0:
        told = (errors + output).strip()[-2000:]
        raise Failed(f"{Path(arguments[0]).name} ended with {process.returncode}: {told}")
    return output


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# --- what else the machine does -----------------------------------------------------------------------------------------


def _busy_ticks():
    """Of all processors together: user, nice, system, irq, softirq, steal."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, _, _, irq, soft, steal = map(int, fields)
    return user + nice + system + irq + soft + steal


def _tree_ticks():
    """Of this process and everything it has started, ended or not."""
    parents, used = {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        number = int(entry.name)
        parents[number] = int(fields[1])
        # The time of children that have been waited for counts too.
        used[number] = sum(map(int, fields[11:15]))
    total = 0
    for number in used:
        ancestor = number
        while ancestor in parents and ancestor != os.getpid():
            ancestor = parents[ancestor]
        if ancestor == os.getpid():
            total += used[number]
    return total


class Machine:
    """What others used of the processors while the script measured. 1.0 is one processor."""

    def __init__(self):
        self.busy, self.own, self.time = _busy_ticks(), _tree_ticks(), time.monotonic()

    def others(self):
        elapsed = (time.monotonic() - self.time) * ticks
        return max(0, (_busy_ticks() - self.busy) - (_tree_ticks() - self.own)) / max(1, elapsed)


# --- servers --------------------------------------------------------------------------------------------------------------


def _is_healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1) as response:
            return response.status == 200
    except OSError:
        return False


@contextlib.contextmanager
def less_sync(binary, command, directory, **environment):
    """A running `less-sync serve` or `dev`; yields its process, whose `url` is set."""
    port = free_port()
    with open(Path(directory) / f"{command}-{port}.log", "wb") as log:
        process = start(
            [binary, command], log, cwd=directory,
            env={**os.environ, "LISTEN_ADDR": f"127.0.0.1:{port}", "LOG_LEVEL": "warning", **environment},
        )
        try:
            deadline = time.monotonic() + 60
            while not _is_healthy(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"less-sync {command} does not run: {Path(log.name).read_text()[-2000:]}")
                time.sleep(0.01)
            process.url = f"http://127.0.0.1:{port}"
            yield process
        finally:
            stop(process, patience=35)


@contextlib.contextmanager
def plain_websocket(binary, mode, directory):
    """A running `plain-websocket`; yields its process, whose `url` is set."""
    with open(Path(directory) / f"plain-{mode}.log", "wb") as log:
        process = start([binary, mode], log, stdout=subprocess.PIPE, cwd=directory)
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise Failed(f"plain-websocket {mode} does not run")
            process.url = f"ws://127.0.0.1:{int(port)}/"
            yield process
        finally:
            stop(process)
            process.stdout.close()
