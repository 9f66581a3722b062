"""The servers: how each is built, started and driven. To add one, add it to PEERS."""

import json
import os
import shutil
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from . import processes
from .machine import ROOT
from .processes import Failure

# A text of 128 bytes behind a header of 4.
RAW_FRAME_BYTES = 132


@dataclass
class Server:
    """Something to measure. `command(port, workers)` starts it."""
    name: str
    command: object
    dialect: str = "raw"
    peer: bool = True
    # It can run on two cores.
    threads: bool = False
    # More clients than this break it.
    connections_max: int = 1_000_000
    # It joins no rooms: only what opening costs is measured of it.
    opens_only: bool = False
    frame_bytes: int = RAW_FRAME_BYTES
    # What the names of its metrics begin with, if it has any.
    metrics: str = ""


# Peers that this checkout carries. The others come from the folder that --peers names.
CARRIED = ROOT / "benches" / "server" / "peers"
NO_FOLDER = "no --peers folder was given"
# name, title, folder, tools, can use two cores, most clients. In the order of the table.
PEERS = [
    ("uwebsockets", "uWebSockets", "uwebsockets", ["cargo", "cc", "c++"], False, 1_000_000),
    ("tungstenite", "tokio-tungstenite, feed + flush", "rust-tokio", ["cargo"], True, 1_000_000),
    ("fastwebsockets", "fastwebsockets", "rust-tokio", ["cargo"], True, 1_000_000),
    ("node-ws", "node `ws`", "node-ws", ["node", "npm"], False, 1_000_000),
    ("php-select", "PHP `select` loop", "php-select", ["php"], False, 1_000),
]
OURS = ["accept-loop", "ringchat", "plain", "upgrade"]
NAMES = ["floor", "relay", *OURS, *(peer[0] for peer in PEERS)]


class Programs:
    """The built programs of this checkout."""

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in ("ringchat", "ringchat-loadgen", "floor"):
            if not (self.folder / name).is_file():
                raise Failure(f"there is no {name} in {self.folder}")
        self.ringchat = self.folder / "ringchat"
        self.loadgen = self.folder / "ringchat-loadgen"
        self.floor = self.folder / "floor"


def target_folder():
    """Where cargo builds this checkout."""
    return Path(metadata(ROOT, "--no-deps")["target_directory"])


def metadata(folder, *more):
    """What cargo knows of the package in a folder."""
    return json.loads(call(["cargo", "metadata", "--format-version", "1", *more], folder, 300))


def build(say):
    """Builds the release programs of this checkout."""
    say("building ringchat, ringchat-loadgen and floor")
    packages = ["-p", "ringchat", "-p", "ringchat-loadgen", "-p", "ringchat-bench"]
    call(["cargo", "build", "--release", *packages], ROOT)
    return Programs(target_folder() / "release")


def call(command, folder, deadline=1800):
    """Runs a build step; returns what it wrote to stdout."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True,
                                timeout=deadline, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failure(f"{command[0]}: {error}") from None
    if result.returncode != 0:
        raise Failure(f"{' '.join(command[:2])}: {(result.stderr or result.stdout).strip()[-800:]}")
    return result.stdout


def ours(programs):
    """ringchat, in its two dialects, and what only accepts an upgrade: ringchat, and the bare loop
    of the system calls that this takes."""
    def command(port, workers):
        return [programs.ringchat, "--listen", f"127.0.0.1:{port}", "--workers", workers,
                "--set", "client.command_rate_limit=0"]
    return [
        Server("accept-loop", lambda port, _: [programs.floor, "accept", "--port", port], "echo",
               peer=False, opens_only=True),
        Server("ringchat", command, "ringchat", peer=False, threads=True, metrics="ringchat"),
        Server("plain", command, "plain", peer=False, threads=True, metrics="ringchat"),
        Server("upgrade", lambda *where: [*command(*where), "--echo"], "echo", peer=False,
               opens_only=True),
    ]


def apart(server):
    """The same server, with members of a room wherever the kernel puts them."""
    command = server.command
    return replace(server, command=lambda *where: [*command(*where), "--set",
                                                   "fanout.gather_rooms=false"])


def relay(programs):
    """The floor under the load of the generator: `recv` and `send`, and next to nothing else."""
    return Server("relay", lambda port, _: [programs.floor, "relay", "--port", port],
                  peer=False, metrics="relay")


def peers(folder, scratch, wanted, say):
    """Builds copies of those that are wanted and there: in this checkout, or in the folder, if one
    was given. Returns (servers, why others were left out); the originals stay as they are."""
    found, left_out, ready = [], {}, {}
    homes = [CARRIED, *([] if folder is None else [Path(folder)])]
    for name, _, where, tools, threads, most in PEERS:
        if name not in wanted:
            continue
        source = next((home / where for home in homes if (home / where).is_dir()), None)
        missing = [tool for tool in tools if shutil.which(tool) is None]
        if source is None:
            left_out[name] = NO_FOLDER if folder is None else f"the folder has no {where}"
        elif missing:
            left_out[name] = f"{' and '.join(missing)} not installed"
        else:
            try:
                if where not in ready:
                    say(f"building {where}")
                    ready[where] = prepare(where, source, Path(scratch) / where)
                commands = ready[where]
            except Failure as failure:
                left_out[name] = str(failure).splitlines()[0]
                say(f"{name}: {failure}")
                continue
            found.append(Server(name, commands[name], "raw", True, threads, most))
    return found, left_out


def prepare(where, source, copy):
    """Copies, builds; returns each server's command."""
    shutil.copytree(source, copy, dirs_exist_ok=True,
                    ignore=shutil.ignore_patterns("node_modules", "target", ".git"))
    if where == "uwebsockets":
        compile_uwebsockets(copy)
        return {"uwebsockets": lambda port, _: [copy / "server", port]}
    if where == "rust-tokio":
        # Its own workspace, or cargo would look for one in the folders above.
        manifest = copy / "Cargo.toml"
        text = manifest.read_text()
        if "[workspace]" not in text:
            manifest.write_text(text + "\n[workspace]\n")
        call(["cargo", "build", "--release", "--target-dir", str(copy / "target")], copy)
        bins = copy / "target" / "release"
        return {
            "tungstenite": lambda port, n: [bins / "tungstenite", port, n, "feed"],
            "fastwebsockets": lambda port, n: [bins / "fastws", port, n],
        }
    if where == "node-ws":
        locked = (copy / "package-lock.json").is_file()
        call(["npm", "ci" if locked else "install", "--no-audit", "--no-fund"], copy)
        return {"node-ws": lambda port, _: ["node", copy / "server.mjs", port]}
    return {"php-select": lambda port, _: ["php", copy / "server.php", port, "rooms"]}


def compile_uwebsockets(copy):
    """The library is C (uSockets) and headers of C++, in a package that cargo fetches and does not
    build: its build script is for other uses. As the library's own makefile does it, but for
    processors of any kind, as ringchat is built."""
    packages = metadata(copy, "--locked")["packages"]
    carrier, = [p for p in packages if p["name"] == "libuwebsockets-sys"]
    library = Path(carrier["manifest_path"]).parent / "uWebSockets"
    sockets = library / "uSockets" / "src"
    flags = ["-O3", "-flto", "-DLIBUS_NO_SSL", "-I", str(sockets)]
    units = [sockets / f"{name}.c" for name in
             ("bsd", "context", "loop", "socket", "udp", "eventing/epoll_kqueue")]
    call(["cc", *flags, "-c", *map(str, units)], copy)
    call(["c++", *flags, "-std=c++20", "-DUWS_NO_ZLIB", "-I", str(library / "src"), "server.cpp",
          *(f"{unit.stem}.o" for unit in units), "-o", "server"], copy)


class Running:
    """A server that runs; use it with `with`."""

    def __init__(self, server, cpus, workers=1):
        self.server, self.cpus, self.workers = server, cpus, workers
        self.port = self.process = self.errors = None

    def __enter__(self):
        self.port = processes.free_port()
        # A file and not a pipe: a pipe that nobody reads stops the one who writes.
        self.errors = tempfile.TemporaryFile("w+")
        self.process = processes.start(self.server.command(self.port, self.workers), self.cpus,
                                       errors=self.errors)
        try:
            processes.wait_until_it_listens(self.process, self.port)
        except Failure as failure:
            processes.stop(self.process)
            self.errors.seek(0)
            raise Failure(f"{failure} {self.errors.read()[-400:]}".strip()) from None
        return self

    def __exit__(self, *_):
        processes.stop(self.process)
        self.errors.close()

    @property
    def pid(self):
        """Its process id: taskset becomes what it starts."""
        return self.process.pid

    def metrics(self):
        """Sums over the workers, by name; without what all names of this server begin with."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return parse_metrics(answer.read().decode(), self.server.metrics)
        except OSError as error:
            raise Failure(f"{url}: {error}") from None


def parse_metrics(text, prefix):
    """`{name: sum over all labels}` of OpenMetrics text, without the prefix of the names."""
    sums = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = line.rpartition(" ")
        name = name.split("{", 1)[0].removeprefix(f"{prefix}_")
        try:
            sums[name] = sums.get(name, 0.0) + float(value)
        except ValueError:
            continue
    return sums


def default_peers():
    """From the environment, read before it is cleaned for what is started."""
    return os.environ.get("RINGCHAT_PEERS") or None
