"""Records to Markdown. Pure. Tests: test_tables.py."""

from statistics import median

from .servers import OURS, PEERS

TITLES = {"ringchat": "**ringchat**, JSON", "plain": "**ringchat**, plain text",
          "upgrade": "**ringchat**, upgraded only",
          "accept-loop": "a bare loop that upgrades: `accept`, `recv`, `send`",
          "relay": "a bare relay: `recv`, `send`"}
# Part of what the relay does.
SENDS = "bare `send` under the generator's load"
TITLES |= {name: title for name, title, *_ in PEERS}
ORDER = ["relay", "accept-loop", "ringchat", "plain", "upgrade", *(peer[0] for peer in PEERS)]


def good(records, kind, **same):
    """Records of a kind whose figures count, and in which these fields have these values."""
    return [record for record in records
            if record["kind"] == kind and record["verdict"] == "ok"
            and all(record.get(name) == value for name, value in same.items())]


def middle(records, name):
    """Median of a figure; None if there is none."""
    values = [record[name] for record in records if record.get(name) is not None]
    return median(values) if values else None


def number(value):
    """1234567 as 1,234,567; small ones with as many decimals as help."""
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def spread(records, name, scale=1.0):
    """`median (lowest-highest)`."""
    values = [record[name] / scale for record in records if record.get(name) is not None]
    if not values:
        return "–"
    if len(values) == 1:
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}–{number(max(values))})"


def table(head, rows):
    """Lines of a Markdown table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def unique(records, name):
    """Values of a field in the order in which they first appear."""
    return list(dict.fromkeys(record[name] for record in records if name in record))


def ratio(value, base):
    """`1.07`; a dash if one of them is missing."""
    return f"{value / base:.2f}" if value and base else "–"


def present(records, among=None):
    """Servers that have records, in the order of the table."""
    names = {record["server"] for record in records}
    return [name for name in ORDER if name in names and (among is None or name in among)]


def fanout(records):
    """The table of the cost of a delivery, and those beside it."""
    mine = [record for record in records if record["kind"] == "fanout"]
    columns = [(layout, window) for window in sorted(unique(mine, "window"))
               for layout in sorted(unique(mine, "layout"))]
    head = [f"{layout} W{window}" for layout, window in columns]
    at = lambda server, column, **more: good(mine, "fanout", server=server, layout=column[0],
                                             window=column[1], **more)
    cost = lambda *place, **more: middle(at(*place, **more), "ns_per_delivery")
    names = [name for name in present(mine) if name != "relay"]
    floors = {name: sorted(unique(good(mine, "fanout", server=name), "frame_bytes"))
              for name in ("floor", "relay")}
    below = lambda column, name, what="ns_per_delivery": middle(
        at("relay", column, frame_bytes=length[name]), what)
    length = {name: middle([r for r in mine if r["server"] == name], "frame_bytes")
              for name in names}
    peers = [name for name in names if name not in OURS]
    best = {column: min(filter(None, (cost(name, column) for name in peers)), default=None)
            for column in columns}

    rows = [[f"the floor: bare `send`, {frame} B"]
            + [spread(at("floor", column, frame_bytes=frame), "ns_per_delivery")
               for column in columns] for frame in floors["floor"]]
    rows += [[f"{title}, {frame} B"]
             + [spread(at("relay", column, frame_bytes=frame), what) for column in columns]
             for title, what in ((SENDS, "send_ns_per_delivery"),
                                 (TITLES["relay"], "ns_per_delivery"))
             for frame in floors["relay"]]
    rows += [[f"{TITLES[name]}, {length[name]:.0f} B"]
             + [spread(at(name, column), "ns_per_delivery") for column in columns]
             for name in names]
    lines = ["Server CPU per delivery in ns, median (lowest–highest):", ""]
    lines += table(["", *head], rows)

    rows = []
    for name in names:
        rows.append([f"{TITLES[name]}: to the floor"] + [
            ratio(cost(name, column), cost("floor", column, frame_bytes=length[name]))
            for column in columns])
        if floors["relay"]:
            rows.append([f"{TITLES[name]}: to `send` under the same load"] + [
                ratio(cost(name, column), below(column, name, "send_ns_per_delivery"))
                for column in columns])
            rows.append([f"{TITLES[name]}: to the bare relay"] + [
                ratio(cost(name, column), below(column, name)) for column in columns])
        if name in OURS:
            if peers:
                rows.append([f"{TITLES[name]}: to the best peer"] + [
                    ratio(cost(name, column), best[column]) for column in columns])
            rows.append([f"{TITLES[name]}: messages per send"] + [
                number(middle(at(name, column), "batch")) for column in columns])
            rows.append([f"{TITLES[name]}: to the floor at that"] + [
                ratio(cost(name, column), cost("floor-real", column, of=name)
                      or cost("floor", column, frame_bytes=length[name]))
                for column in columns])
    lines += ["", "Ratios of the medians; the floor is that of frames of the same length:", ""]
    lines += table(["", *head], rows)

    lines += ["", "Deliveries a second, median, in millions (a figure of the generator where it "
              "is the limit):", ""]
    lines += table(["", *head], [
        [TITLES[name]] + [number(per_million(middle(at(name, column), "deliveries_per_s")))
                          for column in columns] for name in names])
    return lines


def per_million(value):
    """None stays None."""
    return None if value is None else value / 1e6


def by_server_and_workers(records, kind, value, head, columns, cells):
    """A table with a row for each server and number of workers."""
    mine = [record for record in records if record["kind"] == kind]
    rows = []
    for name in present(mine):
        for count in sorted({r["workers"] for r in mine if r["server"] == name}):
            row = [f"{TITLES[name]}, {count} worker{'s' if count > 1 else ''}"]
            for column in columns:
                tried = [r for r in mine if r["server"] == name and r["workers"] == count
                         and r[value] == column]
                row += cells([r for r in tried if r["verdict"] == "ok"], tried)
            rows.append(row)
    return table(head, rows)


def latency(records):
    """p50, p99, p99.9, lag and how many runs count."""
    loads = unique([record for record in records if record["kind"] == "latency"], "load")
    flat = [dict(record, **{name: record["latency"][name] for name in record["latency"]})
            if record.get("latency") else record for record in records]
    lines = ["From due to received in ms, median (lowest–highest) of the runs whose verdict is "
             "ok:"]
    for load in loads:
        lines += ["", f"{load[0]}, {load[2:].replace('k', ',000')} deliveries a second:", ""]
        lines += by_server_and_workers(
            [r for r in flat if r.get("load") == load], "latency", "load",
            ["", "p50", "p99", "p99.9", "generator's lag, p99", "runs that count"], [load],
            lambda ok, tried: [spread(ok, name) for name in
                               ("p50_ms", "p99_ms", "p999_ms", "lag_p99_ms")]
            + [f"{len(ok)} of {len(tried)}"])
    return lines


def workers(records):
    """CPU per delivery by number of workers."""
    mine = [record for record in records if record["kind"] == "workers"]
    loads = unique(mine, "load")
    rows = []
    for name in present(mine):
        ways = {"1 worker": (1, True), "2 workers": (2, True),
                "2 workers, rooms apart": (2, False)}
        cost = lambda load, way: good(mine, "workers", server=name, load=load,
                                      workers=ways[way][0], gathers=ways[way][1])
        for way in ways:
            title = f"{TITLES[name]}, {way}"
            rows.append([title] + [spread(cost(load, way), "ns_per_delivery") for load in loads])
            rows.append([f"{title}: messages per send"] + [
                number(middle(cost(load, way), "batch")) for load in loads])
        for words, way in (("two to one", "2 workers"),
                           ("two to one, rooms apart", "2 workers, rooms apart")):
            rows.append([f"{TITLES[name]}: {words}"] + [
                ratio(middle(cost(load, way), "ns_per_delivery"),
                      middle(cost(load, "1 worker"), "ns_per_delivery")) for load in loads])
    return ["CPU of the whole process per delivery in ns, same load (the less is merged, the more "
            "a delivery costs):", "", *table(["", *loads], rows)]


def sizes(records):
    """CPU per delivery by members, and how flat that is."""
    mine = [record for record in records if record["kind"] == "sizes"]
    lines = []
    for window in sorted(unique(mine, "window")):
        members = sorted(unique(mine, "members"))
        rows = []
        lengths = sorted(unique([r for r in mine if r["server"] == "floor"], "frame_bytes"))
        kinds = [("floor", f"the floor, {length} B", {"frame_bytes": length})
                 for length in lengths]
        kinds += [(name, TITLES[name], {}) for name in present(mine)]
        for name, title, more in kinds:
            cells = [good(mine, "sizes", server=name, window=window, members=count, **more)
                     for count in members]
            middles = list(filter(None, (middle(c, "ns_per_delivery") for c in cells)))
            flat = ratio(max(middles), min(middles)) if len(middles) > 1 else "–"
            rows.append([title, *(spread(c, "ns_per_delivery") for c in cells), flat])
        lines += ["", f"W={window}, one room, CPU per delivery in ns:", ""]
        lines += table(["members", *(f"{count:,}" for count in members), "highest / lowest"],
                       rows)
    return lines[1:]


def accept(records):
    """CPU per accepted connection."""
    mine = [record for record in records if record["kind"] == "accept"]
    floor = middle(good(mine, "accept", server="accept-loop"), "cpu_us_per_connection")
    rows = [[TITLES[name], number(middle(ok, "connections")),
             spread(ok, "cpu_us_per_connection"),
             ratio(middle(ok, "cpu_us_per_connection"), floor), spread(ok, "connections_per_s")]
            for name in present(mine) for ok in [good(mine, "accept", server=name)]]
    return ["Accepted, upgraded and joined (or as it says), as fast as the server takes them:", "",
            *table(["", "connections", "server CPU per connection, us", "to the bare loop",
                    "connections a second"], rows)]


def memory(records):
    """Resident memory of idle connections."""
    mine = [record for record in records if record["kind"] == "memory"]
    rows = []
    for name in present(mine):
        ok = good(mine, "memory", server=name)
        rows.append([TITLES[name], number(middle(ok, "connections")),
                     spread(ok, "rss_per_connection"),
                     *(spread(ok, what, 2**20)
                       for what in ("rss_before", "rss_joined", "rss_left", "rss_later"))])
    return ["Resident memory: bytes per idle connection that has joined a room; MiB in all before "
            "the first, with all, when all have left, and 10 s later:", "",
            *table(["", "connections", "per connection, B", "before", "joined", "left", "later"],
                   rows)]


def syscalls(records):
    """System calls per 1,000 deliveries, and the kernel's share."""
    mine = [record for record in records if record["kind"] == "syscalls"]
    rows = []
    for record in mine:
        most = ", ".join(f"{name} {calls:,}" for name, calls in record.get("most", []))
        rows.append([f"{TITLES[record['server']]}, {record['layout']} W{record['window']}",
                     number(record.get("syscalls_per_1000")) if "syscalls_per_1000" in record
                     else record.get("strace") or record["why"],
                     number(record.get("kernel_percent")) if "kernel_percent" in record
                     else record.get("perf") or record["why"], most])
    return ["Under a closed loop; system calls by strace, which slows the server down, so that "
            "its turns are larger than they would be; the kernel's share by perf, without "
            "strace:", "",
            *table(["", "system calls per 1,000 deliveries", "time in the kernel, %",
                    "most frequent, in 2 s"], rows)]


SECTIONS = {
    "fanout": ("Fan-out", fanout), "latency": ("Latency", latency),
    "workers": ("Two workers against one", workers), "sizes": ("Size of the room", sizes),
    "accept": ("Accepting", accept), "memory": ("Memory", memory),
    "syscalls": ("System calls", syscalls),
}


def refused(records):
    """Runs whose figures were not used, with the reasons."""
    counts = {}
    for record in records:
        if record["verdict"] not in ("ok", "left out"):
            where = [str(record[name]) for name in ("layout", "load", "members") if name in record]
            where += [f"W{record['window']}"] if "window" in record else []
            where += ["two workers"] if record.get("workers") == 2 else []
            what = " ".join([record["server"], *where])
            counts.setdefault((what, record.get("why") or record["verdict"]), []).append(record)
    return [f"* {what}: {len(many)} ({why})" for (what, why), many in counts.items()]


def newest(records, kind):
    """The records of a kind that the last invocation with that kind made."""
    series = [record["series"] for record in records if record["kind"] == kind]
    return [r for r in records if r["kind"] == kind and r["series"] == max(series)]


def summary(records):
    """The whole page: of each section, what the last invocation that had it measured."""
    lines = ["# Whole-server benchmark", "",
             "Made by `benches/server/run`; what it measures and how is in "
             "[docs/benchmarks.md](../../docs/benchmarks.md).", ""]
    for kind, (title, make) in SECTIONS.items():
        if not any(record["kind"] == kind for record in records):
            continue
        mine = newest(records, kind)
        last = mine[-1]
        where = last["environment"]
        lines += [f"## {title}", "",
                  f"{where['kernel']}, {where['cpu']}, {where['cores']} cores; begun "
                  f"{last['series']}; commit {last['commit'] or 'unknown'}; "
                  f"{max(record['run'] for record in mine)} run(s).", "", *make(mine), ""]
        if last.get("left_out"):
            lines += ["Left out: " + "; ".join(
                f"{name} ({why})" for name, why in last["left_out"].items()) + ".", ""]
        why = refused(mine)
        if why:
            lines += ["Runs whose figures were refused:", "", *why, ""]
    return "\n".join(lines)
