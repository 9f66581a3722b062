"""Which measurements belong together, and in which order they run.

Servers take turns within each run, so that what a machine does beside the bench hits all of them
alike. A section yields nothing: it hands each record to `keep`, at once.
"""

from . import servers
from .measure import LAYOUTS, Bench

ALL = ["fanout", "latency", "workers", "sizes", "accept", "memory", "syscalls"]


class Wanted:
    """What was asked for."""

    def __init__(self, servers, layouts, windows, rates, runs, quick, frames, floor, relay,
                 connections):
        self.servers = [server for server in servers if not server.opens_only]
        # For the section accept.
        self.all_servers = servers
        self.layouts = layouts
        self.windows = windows
        # Deliveries a second, in thousands.
        self.rates = rates
        self.runs = runs
        self.quick = quick
        # Length of a delivered frame, by server.
        self.frames = frames
        self.floor = floor
        self.relay = relay
        self.connections = connections

    def ours(self):
        """ringchat in each dialect that was asked for."""
        return [server for server in self.servers if not server.peer]


def fanout(bench: Bench, wanted: Wanted, keep):
    """What a delivery costs, and how many a second, against messages outstanding per sender."""
    for run in range(1, wanted.runs + 1):
        for window in wanted.windows:
            for layout in wanted.layouts:
                place = {"layout": layout, "window": window, "run": run}
                floors(bench, wanted, LAYOUTS[layout], window, place, keep, "fanout")
                relays(bench, wanted, LAYOUTS[layout], window, place, keep)
                for server in wanted.servers:
                    record = bench.closed(server, layout, window)
                    keep("fanout", record | place | frame_of(wanted, server))
                    real_batch(bench, wanted, LAYOUTS[layout], window, record, place, keep)


def frame_of(wanted, server):
    """So that the table finds the floor of the same bytes."""
    return {"frame_bytes": wanted.frames.get(server.name, server.frame_bytes)}


def lengths(wanted):
    """Each length of frame that a server of this run has."""
    return sorted({frame_of(wanted, server)["frame_bytes"] for server in wanted.servers}) or [132]


def floors(bench, wanted, layout, window, place, keep, section):
    """The floor for each length of frame."""
    if wanted.floor:
        for length in lengths(wanted):
            keep(section, bench.floor(*layout, window, length) | place)


def relays(bench, wanted, layout, window, place, keep):
    """The floor under the load of the generator, for each length of frame."""
    if wanted.relay:
        for length in lengths(wanted):
            keep("fanout", bench.relay(*layout, window, length) | place)


def real_batch(bench, wanted, layout, window, record, place, keep):
    """The floor at the batch that ringchat really had, if that is another one."""
    if not wanted.floor or record["verdict"] != "ok" or not record.get("batch"):
        return
    # Answers to joins are sends without a message, so that it may be a little below 1.
    batch = max(1.0, record["batch"])
    if abs(batch - window) <= 0.02 * window:
        return
    length = wanted.frames[record["server"]]
    floor = bench.floor(*layout, batch, length) | {"server": "floor-real"}
    keep("fanout", floor | place | {"of": record["server"]})


# Layouts with their members in a room, and senders.
OPEN_LAYOUTS = {"B": (1_000, 10), "C": (20, 50)}


def loads(wanted):
    """Open loops by name: (layout, messages a second, senders)."""
    return {f"{layout} {rate}k": (layout, rate * 1_000 // members, senders)
            for rate in wanted.rates
            for layout, (members, senders) in OPEN_LAYOUTS.items() if layout in wanted.layouts}


def latency(bench, wanted, keep):
    """From due to received, under a load that does not wait for the server."""
    for run in range(1, wanted.runs + 1):
        for name, (layout, rate, senders) in loads(wanted).items():
            floor = [servers.relay(bench.programs)] if wanted.relay else []
            for server in floor + wanted.servers:
                for workers in (1, 2) if server.threads else (1,):
                    if workers > len(bench.server_cpus):
                        continue
                    record = bench.open(server, layout, rate, senders, workers)
                    keep("latency", record | {"load": name, "run": run})


def workers(bench, wanted, keep):
    """CPU per delivery with one worker, with two, and with two in rooms that do not gather on one,
    under the same load."""
    if len(bench.server_cpus) < 2:
        bench.say("workers: left out, there is only one CPU")
        return
    for run in range(1, wanted.runs + 1):
        for name, (layout, rate, senders) in loads(wanted).items():
            for server in wanted.ours():
                for count, which in ((1, server), (2, server), (2, servers.apart(server))):
                    # The figure is CPU time, which a busy generator does not falsify.
                    record = bench.open(which, layout, rate, senders, count,
                                        "--allow-saturation")
                    kept = {"load": name, "run": run, "gathers": which is server}
                    keep("workers", record | kept)


def sizes(bench, wanted, keep):
    """CPU per delivery against the size of the room."""
    members = (100, 1_000) if wanted.quick else (100, 1_000, 10_000)
    for run in range(1, wanted.runs + 1):
        for window in (1, 32):
            for count in members:
                place = {"members": count, "window": window, "run": run}
                floors(bench, wanted, (1, count), window, place, keep, "sizes")
                for server in wanted.ours():
                    keep("sizes", bench.closed(server, (1, count), window) | place
                         | frame_of(wanted, server))


def accept(bench, wanted, keep):
    """CPU of opening and joining."""
    crowd(bench, wanted, keep, ["accept"])


def memory(bench, wanted, keep):
    """Memory of connections that are idle, and after they have left."""
    crowd(bench, wanted, keep, ["memory"])


def crowd(bench, wanted, keep, kinds):
    """Both of the above need the same run."""
    hold = 10.0 if "memory" in kinds else 0.0
    for run in range(1, wanted.runs + 1):
        for server in wanted.all_servers if "accept" in kinds else wanted.servers:
            record = bench.crowd(server, wanted.connections, hold)
            for kind in ["accept"] if server.opens_only else kinds:
                keep(kind, record | {"run": run})


def syscalls(bench, wanted, keep):
    """System calls and the kernel's share of the time; once, as they hardly vary."""
    for window in (1, 32):
        for layout in wanted.layouts:
            for server in wanted.ours():
                keep("syscalls", bench.syscalls(server, layout, window) | {"run": 1})


def run(names, bench, wanted, keep):
    """Runs the sections that are named, in the order of the table above."""
    todo = [name for name in ALL if name in names]
    for name in todo:
        bench.say(f"section {name}")
        if name == "accept" and "memory" in todo:
            crowd(bench, wanted, keep, ["accept", "memory"])
        elif name == "memory" and "accept" in todo:
            continue
        else:
            globals()[name](bench, wanted, keep)
