"""Starting, waiting with a deadline, ending what was started. By process id only, never by name."""

import atexit
import os
import signal
import socket
import subprocess
import time

_started = []


class Failure(Exception):
    """A measurement that could not be made, with the reason."""


def clean_environment():
    """Without the settings of whoever runs this: they are not the benchmark's."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RINGCHAT_")}


def start(command, cpus, output=subprocess.DEVNULL, errors=subprocess.DEVNULL):
    """Starts a program that runs on these CPUs only. It is ended when this program ends."""
    words = [str(word) for word in command]
    process = subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, cpus)), *words], stdin=subprocess.DEVNULL,
        stdout=output, stderr=errors, env=clean_environment(), text=True)
    _started.append(process)
    return process


def stop(process, patience=5.0):
    """Asks it to end, and then sees to it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(patience)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    if process in _started:
        _started.remove(process)


def finish(process, deadline):
    """Waits for it to end by itself; returns (exit status, stdout, stderr)."""
    try:
        output, errors = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        raise Failure(f"{process.args[3]} did not end within {deadline:.0f} s") from None
    finally:
        stop(process)
    return process.returncode, output, errors


def stop_all():
    """Ends everything that still runs, at once."""
    for process in list(_started):
        try:
            stop(process, patience=1.0)
        except (OSError, subprocess.SubprocessError):
            pass


def _end(_number, _frame):
    raise SystemExit(143)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, _end)
signal.signal(signal.SIGHUP, _end)


def free_port():
    """A port that nobody listens on now. Each server gets a new one: the old one's connections
    may still wait for their end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_until_it_listens(process, port, deadline=15.0):
    """Connects until it answers."""
    end = time.monotonic() + deadline
    while True:
        if process.poll() is not None:
            errors = process.stderr.read().strip() if process.stderr else ""
            raise Failure(f"the server ended with status {process.returncode}. {errors}"[:500])
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            return
        except OSError:
            if time.monotonic() >= end:
                raise Failure(f"the server did not listen within {deadline:.0f} s") from None
            time.sleep(0.02)
