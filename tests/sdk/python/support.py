"""What the tests of the Python SDKs share: the server as a process, clients whose events can be
waited for with a deadline, and tokens.

Environment: RINGCHAT_BIN (default target/release/ringchat).
"""

import asyncio
import base64
import hashlib
import hmac
import json
import math
import os
import pathlib
import re
import time
import unittest

import centrifuge

ROOT = pathlib.Path(__file__).resolve().parents[3]
BINARY = os.environ.get("RINGCHAT_BIN", ROOT / "target/release/ringchat")

# Within this time everything that a test waits for has happened, or the test fails.
DEADLINE_S = 20

API_KEY = "the-key-of-the-server-api-in-tests"
SECRET = "a secret of thirty-two bytes or more"

# The two forms of the client SDK: whether it speaks protobuf, in which data are bytes.
FORMS = (False, True)


def message(text):
    """A chat payload."""
    return {"type": "message", "text": text}


def token(claims, secret=SECRET):
    """A JSON Web Token with these claims (HS256)."""

    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=")

    head = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = head + b"." + part(json.dumps(claims).encode())
    signature = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(signature)).decode()


def in_seconds(seconds):
    """Unix time, in whole seconds, at least so many seconds from now."""
    return math.ceil(time.time()) + seconds


async def soon(awaitable, what):
    """The awaitable's result; fails when it takes too long."""
    try:
        return await asyncio.wait_for(awaitable, DEADLINE_S)
    except asyncio.TimeoutError:
        raise AssertionError(f"not within {DEADLINE_S} s: {what}") from None


class Server:
    """The real server, on a port that the kernel chooses."""

    def __init__(self, process, address):
        self._process = process
        self.address = address
        self._reader = asyncio.create_task(self._drain())

    @classmethod
    async def start(cls, *settings):
        """Starts it; `settings` are KEY=VALUE."""
        flags = [flag for setting in settings for flag in ("--set", setting)]
        # Settings of whoever runs the tests are not the server's.
        env = {k: v for k, v in os.environ.items() if not k.startswith("RINGCHAT_")}
        process = await asyncio.create_subprocess_exec(
            str(BINARY), "--listen", "127.0.0.1:0", "--workers", "2", *flags,
            env=env, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )
        said = []

        async def address():
            async for line in process.stderr:
                said.append(line.decode())
                found = re.search(r"http://(127\.0\.0\.1:\d+)/", said[-1])
                if found:
                    return found[1]
            raise AssertionError("the server ended:\n" + "".join(said))

        try:
            return cls(process, await soon(address(), "the address of the server"))
        except BaseException:
            if process.returncode is None:
                process.kill()
            raise

    async def _drain(self):
        async for _ in self._process.stderr:
            pass

    async def kill(self):
        self._process.kill()
        await self._process.wait()
        await self._reader


class Heard:
    """Everything that an SDK says under each event's name, to be taken in order."""

    def __init__(self):
        self._queues = {}

    def _queue(self, event):
        return self._queues.setdefault(event, asyncio.Queue())

    async def next(self, event):
        """The next one with this name, such as `publication`."""
        return await soon(self._queue(event).get(), event)

    async def take(self, event, count):
        """The next `count` of them."""
        return [await self.next(event) for _ in range(count)]

    def left(self, event):
        """How many came that nobody has taken."""
        return self._queue(event).qsize()


def _listening(base, names):
    """A handler of the SDK that keeps every event."""

    def keep(name):
        async def handler(self, context):
            self._queue(name).put_nowait(context)

        return handler

    methods = {f"on_{name}": keep(name) for name in names}
    return type(f"Heard{base.__name__}", (Heard, base), methods)


ClientEvents = _listening(centrifuge.ClientEventHandler, (
    "connecting", "connected", "disconnected", "error",
    "subscribing", "subscribed", "unsubscribed", "publication", "join", "leave",
))
RoomEvents = _listening(centrifuge.SubscriptionEventHandler, (
    "subscribing", "subscribed", "unsubscribed", "publication", "join", "leave", "error",
))


class SdkTest(unittest.IsolatedAsyncioTestCase):
    """A test with a server of its own and clients that end with it."""

    # Settings of the server, KEY=VALUE.
    settings = ()

    async def asyncSetUp(self):
        self.server = await Server.start(*self.settings)
        self.addAsyncCleanup(self.server.kill)

    def encode(self, value, protobuf):
        return json.dumps(value).encode() if protobuf else value

    def decode(self, data):
        return json.loads(data) if isinstance(data, bytes) else data

    def new_client(self, protobuf=False, data=None, **options):
        """A client, not yet connected; `heard` are its events."""
        heard = ClientEvents()
        client = centrifuge.Client(
            f"ws://{self.server.address}/connection/websocket",
            events=heard,
            use_protobuf=protobuf,
            data=None if data is None else self.encode(data, protobuf),
            min_reconnect_delay=0.01,
            max_reconnect_delay=0.2,
            proxy=None,
            **options,
        )
        client.heard = heard
        client.protobuf = protobuf
        self.addAsyncCleanup(client.disconnect)
        return client

    async def connect(self, protobuf=False, **options):
        """A connected client; `hello` is what the server said."""
        client = self.new_client(protobuf, **options)
        await client.connect()
        client.hello = await client.heard.next("connected")
        return client

    async def subscribe(self, client, room, **options):
        """A subscription that is there; `heard` are its events."""
        heard = RoomEvents()
        subscription = client.new_subscription(room, events=heard, **options)
        subscription.heard = heard
        subscription.client = client
        await subscription.subscribe()
        subscription.hello = await heard.next("subscribed")
        return subscription

    async def member(self, room, protobuf=False, **options):
        """A client of its own, connected and subscribed."""
        return await self.subscribe(await self.connect(protobuf, **options), room)

    async def publish(self, subscription, value):
        data = self.encode(value, subscription.client.protobuf)
        await soon(subscription.publish(data), "the answer to a publish")

    async def publication(self, subscription):
        """The next publication in a room, its data as a JSON value."""
        pub = (await subscription.heard.next("publication")).pub
        pub.data = self.decode(pub.data)
        return pub

    async def assert_code(self, code, awaitable):
        """The server refuses this with an error of this code."""
        with self.assertRaises(centrifuge.ReplyError) as refused:
            await soon(awaitable, f"error {code}")
        self.assertEqual(refused.exception.code, code)
