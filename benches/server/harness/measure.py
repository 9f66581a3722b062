"""One measurement each: runs it and returns a record (a dict that becomes one line of JSON).

A record whose `verdict` is not "ok" keeps the reason in `why`; its figures are not used. Raises
`Failure` only for what is wrong with the bench itself.
"""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from . import machine, processes, servers
from .processes import Failure
from .servers import Running

LAYOUTS = {"A": (1, 100), "B": (1, 1000), "C": (50, 20)}
PAYLOAD = 128


class Bench:
    """What all measurements share."""

    def __init__(self, programs, server_cpus, generator_cpu, seconds, say, floor_wait="sleep"):
        self.programs = programs
        # One for each worker.
        self.server_cpus = server_cpus
        self.generator_cpu = generator_cpu
        self.seconds = seconds
        self.say = say
        # How the floor's receiver waits.
        self.floor_wait = floor_wait

    def cpus(self, workers):
        """Where a server with so many workers runs."""
        return self.server_cpus[:workers]

    # ---- the floor

    def floor(self, rooms, members, batch, frame_bytes):
        """The bare `send` loop."""
        frame = round(frame_bytes)
        frame = 130 if frame in (128, 129) else frame  # no frame has these lengths
        process = processes.start(
            [self.programs.floor, "--rooms", rooms, "--members", members, "--batch", batch,
             "--bytes", frame, "--seconds", self.seconds, "--cpu", self.server_cpus[0],
             "--reader-cpu", self.generator_cpu, "--reader-wait", self.floor_wait],
            [*self.server_cpus[:1], self.generator_cpu],
            subprocess.PIPE, subprocess.PIPE)
        status, output, errors = processes.finish(process, 60 + 5 * self.seconds)
        record = {"server": "floor", "verdict": "ok", "frame_bytes": frame, "batch": batch,
                  "floor_wait": self.floor_wait}
        if status != 0:
            return record | {"verdict": "failed", "why": errors.strip()[-300:]}
        report = json.loads(output)
        return record | {name: report[name] for name in
                         ("ns_per_delivery", "ns_per_send", "deliveries_per_s", "cpu_percent")}

    def relay(self, rooms, members, window, frame_bytes):
        """The bare `send` loop under the load of the generator, in frames of this length: what its
        sends cost (`send_ns_per_delivery`), and all of it."""
        record = self.closed(servers.relay(self.programs), (rooms, members), window,
                             payload=payload_of(frame_bytes))
        return record | {"frame_bytes": frame_bytes}

    # ---- a server under load

    def start_generator(self, running, load, connections, rooms, senders, seconds, *more,
                        payload=PAYLOAD):
        """Starts the generator against a running server."""
        url = f"ws://127.0.0.1:{running.port}"
        return processes.start(
            [self.programs.loadgen, "--url", url, "--dialect", running.server.dialect,
             "-c", connections, "--rooms", rooms, "--senders", senders, *load,
             "--payload", payload, "--server-pid", running.pid, "--duration", f"{seconds}s",
             "--threads", 1, "--format", "json", "--quiet", *more],
            [self.generator_cpu], subprocess.PIPE, subprocess.PIPE)

    def drive(self, running, load, connections, rooms, senders, *more, payload=PAYLOAD):
        """Drives a running server; returns (record, report or None)."""
        seconds = self.seconds
        record = {"server": running.server.name, "workers": running.workers}
        process = self.start_generator(running, load, connections, rooms, senders, seconds, *more,
                                       payload=payload)
        status, output, errors = processes.finish(process, 120 + 5 * seconds)
        try:
            report = json.loads(output)
        except ValueError:
            why = errors.strip()[-300:] or f"the generator ended with status {status}"
            return record | {"verdict": "failed", "why": why}, None
        return record | figures(report), report

    def closed(self, server, layout, window, workers=1, payload=PAYLOAD):
        """A closed loop: what a delivery costs, and how many a second."""
        rooms, members = LAYOUTS[layout] if isinstance(layout, str) else layout
        return self.under_load(server, ["--closed", window], rooms, members, rooms, workers,
                               "--allow-saturation", payload=payload)

    def open(self, server, layout, rate, senders, workers, *more):
        """An open loop of `rate` messages a second."""
        rooms, members = LAYOUTS[layout]
        return self.under_load(server, ["--rate", rate], rooms, members, senders, workers, *more)

    def under_load(self, server, load, rooms, members, senders, workers, *more, payload=PAYLOAD):
        """Starts the server, drives it once, ends it."""
        too_many = refusal(server, rooms * members, workers)
        if too_many:
            return {"server": server.name, "workers": workers, "verdict": "left out",
                    "why": too_many}
        try:
            with Running(server, self.cpus(workers), workers) as running:
                record, _ = self.drive(running, load, rooms * members, rooms, senders, *more,
                                       payload=payload)
                if server.metrics:
                    record |= sums(running.metrics())
                return record
        except Failure as failure:
            return {"server": server.name, "workers": workers, "verdict": "failed",
                    "why": str(failure)[:400]}

    def frame_bytes(self, server):
        """Length of the frame in which a text of PAYLOAD bytes comes: the server's own count."""
        record = Bench(self.programs, self.server_cpus, self.generator_cpu, 0.5, self.say).closed(
            server, "A", 32)
        if record["verdict"] != "ok" or not record.get("bytes_per_delivery"):
            raise Failure(f"{server.name} cannot be measured: {record.get('why') or record}")
        return round(record["bytes_per_delivery"])

    # ---- connections that do next to nothing

    def crowd(self, server, connections, hold):
        """Opens many connections as fast as the server takes them, each joined to a room of 100;
        CPU of opening, memory while they are idle, after they left and `hold` seconds later."""
        record = {"server": server.name, "workers": 1, "connections": connections}
        too_many = refusal(server, connections, 1)
        if too_many:
            return record | {"verdict": "left out", "why": too_many}
        rooms = connections if server.opens_only else max(1, connections // 100)
        idle = 4.0
        try:
            with Running(server, self.cpus(1)) as running:
                time.sleep(0.5)
                before = machine.cpu_ns(running.pid), machine.rss_bytes(running.pid)
                process = self.start_generator(
                    running, ["--rate", 1], connections, rooms, 1, 1,
                    *([] if server.opens_only else ["--active-rooms", 1]), "--settle", f"{idle}s", "--warmup", "0s",
                    "--allow-saturation")
                joined = watch(running.pid, process, before[0])
                status, output, errors = processes.finish(process, 120)
                left = machine.rss_bytes(running.pid)
                time.sleep(hold)
                later = machine.rss_bytes(running.pid)
            report = json.loads(output) if output.strip() else None
        except (Failure, ValueError, OSError) as failure:
            return record | {"verdict": "failed", "why": str(failure)[:400]}
        if report is None:
            why = errors.strip()[-300:] or f"the generator ended with status {status}"
            return record | {"verdict": "failed", "why": why}
        record |= {"verdict": report["verdict"], "why": reason(report)}
        if joined is None:
            return record | {"verdict": "failed", "why": "the server was never idle"}
        cpu, resident = joined
        return record | {
            "connect_s": report["connect"]["total_s"],
            "connections_per_s": report["connect"]["per_s"],
            "cpu_us_per_connection": (cpu - before[0]) / 1000 / connections,
            "rss_before": before[1], "rss_joined": resident,
            "rss_per_connection": (resident - before[1]) / connections,
            "rss_left": left, "rss_later": later, "hold_s": hold,
        }

    # ---- what the kernel is asked for

    def syscalls(self, server, layout, window):
        """System calls per 1,000 deliveries (strace), and the kernel's share of the time (perf),
        of ringchat under a closed loop. One after the other: each disturbs the other."""
        rooms, members = LAYOUTS[layout]
        record = {"server": server.name, "workers": 1, "layout": layout, "window": window,
                  "verdict": "ok", "why": ""}
        tools = {tool: shutil.which(tool) for tool in ("strace", "perf")}
        try:
            with Running(server, self.cpus(1)) as running, tempfile.TemporaryDirectory() as scratch:
                process = self.start_generator(
                    running, ["--closed", window], rooms * members, rooms, rooms, 20,
                    "--allow-saturation")
                time.sleep(3.0)  # joined, settled and warm
                if process.poll() is not None:
                    raise Failure(f"the generator ended: {process.stderr.read()[-300:]}")
                if tools["perf"]:
                    record |= kernel_share(running.pid, Path(scratch) / "perf", self.generator_cpu)
                else:
                    record["perf"] = "perf is not installed"
                if tools["strace"]:
                    record |= traced(running, Path(scratch) / "strace", self.generator_cpu)
                else:
                    record["strace"] = "strace is not installed"
                processes.stop(process, patience=10.0)
        except (Failure, OSError) as failure:
            return record | {"verdict": "failed", "why": str(failure)[:400]}
        return record


def refusal(server, connections, workers):
    """Why a server cannot do this, or None."""
    if connections > server.connections_max:
        return f"breaks at more than {server.connections_max:,} clients"
    if workers > 1 and not server.threads:
        return "runs on one core"
    return None


def reason(report):
    """Why a report's figures do not count, in words; empty if they do."""
    if report["verdict"] == "ok":
        return ""
    names = ("unsent", "missing", "duplicate", "out_of_order", "corrupt", "refused",
             "unanswered", "closed")
    troubles = [f"{name.replace('_', ' ')} {report['checks'][name]:,}" for name in names
                if report["checks"].get(name)]
    if report["generator"]["limited"]:
        lag, cpu = report["generator"]["lag"]["p99_ms"], report["generator"]["cpu_percent"]
        troubles.append(f"the generator was the limit (lag p99 {lag:.2f} ms, CPU {cpu} %)")
    return "; ".join(troubles) or report["verdict"]


def figures(report):
    """What is kept of a generator's report."""
    server = report["server"] or {}
    return {
        "verdict": report["verdict"], "why": reason(report),
        "ns_per_delivery": server.get("ns_per_delivery"),
        "cpu_percent": server.get("cpu_percent"),
        "system_percent": server.get("system_percent"),
        "deliveries_per_s": report["deliveries_per_s"],
        "latency": {name: report["latency"][name] for name in
                    ("count", "p50_ms", "p99_ms", "p999_ms", "max_ms")},
        "lag_p99_ms": report["generator"]["lag"]["p99_ms"],
        "generator_cpu_percent": report["generator"]["cpu_percent"],
        "generator_wait_percent": report["generator"]["wait_percent"],
        "owed": report["checks"]["owed"], "shed": report["checks"].get("shed", 0),
    }


def payload_of(frame_bytes):
    """Length of the text in a frame of this length: RFC 6455 section 5.2."""
    return frame_bytes - (2 if frame_bytes <= 127 else 4)


def sums(metrics):
    """What a server says about all of a run. ringchat's answers to joins are in it, some thousand
    sends beside a hundred thousand or more."""
    def total(name):
        return metrics.get(f"{name}_total", metrics.get(name, 0.0))
    deliveries, sends = total("deliveries"), total("sends")
    if not deliveries or not sends:
        return {}
    sending = metrics.get("sending_cpu_seconds_total")
    more = {} if sending is None else {"send_ns_per_delivery": sending * 1e9 / deliveries}
    return more | {
        "batch": round(deliveries / sends, 3),
        "bytes_per_delivery": round(total("sent_bytes") / deliveries, 2),
        "deliveries_per_turn": round(deliveries / max(total("turns"), 1.0), 1)}


def watch(pid, process, before_ns, deadline=120.0):
    """Waits until the server has worked and then rested for a second: (CPU so far, memory)."""
    end = time.monotonic() + deadline
    history = []
    while process.poll() is None and time.monotonic() < end:
        at, cpu = time.monotonic(), machine.cpu_ns(pid)
        history = [(a, c) for a, c in history if a >= at - 1.2] + [(at, cpu)]
        rested = history[-1][0] - history[0][0] >= 1.0 and cpu - history[0][1] < 2_000_000
        if rested and cpu - before_ns > 20_000_000:
            return cpu, machine.rss_bytes(pid)
        time.sleep(0.1)
    return None


def kernel_share(pid, path, cpu):
    """Share of the samples that lie in the kernel."""
    record = processes.start(["perf", "record", "-q", "-e", "cpu-clock", "-F", "997", "-p", pid,
                              "-o", path, "--", "sleep", "2"], [cpu], errors=subprocess.PIPE)
    status, _, errors = processes.finish(record, 30)
    if status != 0:
        return {"perf": f"perf record: {errors.strip()[-200:]}"}
    script = processes.start(["perf", "script", "-i", path, "-F", "ip"], [cpu],
                             subprocess.PIPE, subprocess.PIPE)
    status, output, errors = processes.finish(script, 60)
    if status != 0:
        return {"perf": f"perf script: {errors.strip()[-200:]}"}
    samples = [int(line, 16) for line in output.split()]
    if not samples:
        return {"perf": "perf saw no sample"}
    # The upper half of the addresses is the kernel's, on every 64-bit Linux.
    kernel = sum(1 for address in samples if address >> 63)
    return {"kernel_percent": round(100 * kernel / len(samples), 2), "samples": len(samples)}


def traced(running, path, cpu, seconds=2.0):
    """System calls between two looks at the server's own count of deliveries."""
    strace = processes.start(["strace", "-f", "-c", "-o", path, "-p", running.pid], [cpu],
                             errors=subprocess.PIPE)
    end = time.monotonic() + 10.0
    status = Path(f"/proc/{running.pid}/status")
    while "TracerPid:\t0\n" in status.read_text():
        if strace.poll() is not None or time.monotonic() > end:
            errors = strace.stderr.read()[-200:] if strace.poll() is not None else "it hangs"
            processes.stop(strace)
            return {"strace": f"strace cannot attach: {errors.strip()}"}
        time.sleep(0.01)
    begun = time.monotonic()
    before = running.metrics()["deliveries_total"]
    time.sleep(seconds)
    after = running.metrics()["deliveries_total"]
    window = time.monotonic() - begun
    strace.send_signal(signal.SIGINT)
    processes.finish(strace, 20)
    counts = parse_strace(path.read_text())
    total = sum(counts.values())
    deliveries = after - before
    if not total or deliveries <= 0:
        return {"strace": "strace counted nothing"}
    most = sorted(counts.items(), key=lambda item: -item[1])[:6]
    return {"syscalls": total, "traced_deliveries": deliveries, "traced_s": round(window, 2),
            "syscalls_per_1000": round(1000 * total / deliveries, 3), "most": most}


def parse_strace(text):
    """`{name: calls}` of strace -c's table."""
    counts = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 5 and words[0].replace(".", "").isdigit() and words[-1] != "total":
            counts[words[-1]] = int(words[3])
    return counts
