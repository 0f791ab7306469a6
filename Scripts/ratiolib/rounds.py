"""Rounds of measurements: when they count, in which order, and what becomes of them."""

import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

from . import processes

root = Path(__file__).resolve().parent.parent.parent


def tell(text=""):
    print(text, flush=True)


def fsync_rate(directory):
    """4 KiB appends a second, each synchronized: what the disk allows a committer."""
    with open(Path(directory) / "fsync-probe", "wb", buffering=0) as file:
        started, count = time.monotonic(), 0
        while time.monotonic() - started < 1:
            file.write(b"\0" * 4096)
            os.fdatasync(file.fileno())
            count += 1
    return count


def describe(directory):
    """The machine in one line."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    commit = subprocess.run(["git", "-C", str(root), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (
        f"{time.strftime('%Y-%m-%d %H:%M')}, commit {commit.stdout.strip() or 'unknown'}; {os.cpu_count()} processors "
        f"({model}), {memory:.1f} GiB, Linux {platform.release().split('-')[0]}; {fsync_rate(directory):,} fdatasync/s of 4 KiB"
    )


def figure(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}" if value >= 10 else f"{value:,.2f}"


def wait_for_quiet(limit, patience=60):
    """Returns when others have used less than `limit` of a processor for a second, or after `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        machine = processes.Machine()
        time.sleep(1)
        if machine.others() < limit:
            return


def measure(row, bench, options):
    """Runs the contenders in turns, every other round in the opposite order, until enough rounds count."""
    started, load, rounds = time.monotonic(), os.getloadavg()[0], []
    counts = lambda: sum(options.quiet is None or entry["others"] <= options.quiet for entry in rounds)
    while counts() < options.runs and len(rounds) < options.runs * (1 if options.quiet is None else 6):
        if options.quiet is not None:
            wait_for_quiet(options.quiet)
        bench.details = {}
        machine = processes.Machine()
        order = list(row.contenders)
        values = {name: row.contenders[name]() for name in (order if len(rounds) % 2 == 0 else reversed(order))}
        rounds.append({"figures": values, "others": machine.others(), "details": bench.details})
        told = ", ".join(f"{name} {figure(values[name])}" for name in order)
        tell(f"    {told}; others {rounds[-1]['others']:.2f}")
    chosen = sorted(rounds, key=lambda entry: entry["others"])[: options.runs]
    median = lambda pick: statistics.median(map(pick, chosen))
    # What belongs together was measured together.
    ratios = [row.ratio(entry["figures"]) for entry in chosen]
    details = {name for entry in chosen for name in entry["details"]}
    return {
        "row": row.name, "workload": row.workload, "measure": row.measure, "unit": row.unit,
        "figures": {name: median(lambda entry: entry["figures"][name]) for name in row.contenders},
        "ratio": statistics.median(ratios), "lowest": min(ratios), "highest": max(ratios),
        "target": row.target, "at_most": row.at_most, "met": row.is_met(statistics.median(ratios)),
        "load": load, "others": median(lambda entry: entry["others"]), "seconds": time.monotonic() - started,
        "details": {
            name: statistics.median(value for entry in chosen for value in entry["details"].get(name, []))
            for name in sorted(details)
        },
        "rounds": rounds,
    }
