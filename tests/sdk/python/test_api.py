"""The Python SDK of the server API (`cent`), unchanged: every method that it has and that the
public docs describe for the server itself."""

import base64
import unittest

import cent
from cent import (
    AsyncClient, BatchRequest, BroadcastRequest, CentApiResponseError, CentUnauthorizedError,
    ChannelsRequest, Disconnect, DisconnectRequest, HistoryRemoveRequest, HistoryRequest,
    InfoRequest, PresenceRequest, PresenceStatsRequest, PublishRequest, RefreshRequest,
    StreamPosition, SubscribeRequest, UnsubscribeRequest,
)

from support import API_KEY, SECRET, SdkTest, message, soon, token


class Api(SdkTest):
    settings = (
        f"http_api.key={API_KEY}",
        f"client.token.hmac_secret_key={SECRET}",
        "client.allow_guests=true",
        "client.allow_anonymous_connect_without_token=true",
        "presence.grace=0s",
    )

    async def asyncSetUp(self):
        await super().asyncSetUp()
        self.api = AsyncClient(f"http://{self.server.address}/api", API_KEY)
        self.addAsyncCleanup(self.api.close)

    async def history(self, room, **options):
        return await self.api.history(HistoryRequest(channel=room, limit=100, **options))

    async def assert_api_code(self, code, awaitable):
        with self.assertRaises(CentApiResponseError) as refused:
            await soon(awaitable, f"error {code}")
        self.assertEqual(refused.exception.code, code)

    async def test_publish(self):
        member = await self.member("chat:publish")
        request = PublishRequest(channel="chat:publish", data=message("hi"), tags={"k": "v"})
        result = await self.api.publish(request)
        self.assertEqual((result.offset, result.epoch), (1, member.hello.stream_position.epoch))
        pub = await self.publication(member)
        self.assertEqual((pub.data, pub.offset), (message("hi"), 1))
        self.assertEqual((pub.tags, pub.info), ({"k": "v"}, None))
        kept = (await self.history("chat:publish")).publications
        self.assertEqual([(p.offset, p.data, p.tags) for p in kept], [(1, message("hi"), {"k": "v"})])

    async def test_publish_without_history(self):
        member = await self.member("chat:skip")
        request = PublishRequest(channel="chat:skip", data=message("hi"), skip_history=True)
        await self.api.publish(request)
        self.assertEqual((await self.publication(member)).data, message("hi"))
        self.assertEqual((await self.history("chat:skip")).publications, [])

    async def test_publish_b64data(self):
        text = await self.member("plain")
        binary = await self.member("plain", protobuf=True)
        raw = b'{"a": 1}'
        encoded = base64.b64encode(raw).decode()
        await self.api.publish(PublishRequest(channel="plain", data=None, b64data=encoded))
        self.assertEqual((await self.publication(text)).data, {"a": 1})
        self.assertEqual((await self.publication(binary)).data, {"a": 1})

    async def test_publish_once_per_idempotency_key(self):
        member = await self.member("chat:once")
        results = []
        for text in ("first", "again"):
            request = PublishRequest(
                channel="chat:once", data=message(text), idempotency_key="the same"
            )
            results.append(await self.api.publish(request))
        self.assertEqual(results[0], results[1])
        await self.api.publish(PublishRequest(channel="chat:once", data=message("last")))
        heard = [(await self.publication(member)).data["text"] for _ in range(2)]
        self.assertEqual(heard, ["first", "last"])

    async def test_publish_is_refused(self):
        for channel, data, code in (
            ("nowhere:x", 1, 102),
            ("chat:x", {"type": "nonsense"}, 107),
            ("", 1, 107),
        ):
            request = PublishRequest(channel=channel, data=data)
            await self.assert_api_code(code, self.api.publish(request))

    async def test_broadcast(self):
        members = [await self.member(f"chat:cast-{n}") for n in range(2)]
        request = BroadcastRequest(
            channels=["chat:cast-0", "chat:cast-1", "nowhere:x"], data=message("to all")
        )
        result = await self.api.broadcast(request)
        self.assertEqual([r.result and r.result.offset for r in result.responses], [1, 1, None])
        self.assertEqual(result.responses[2].error.code, 102)
        for member in members:
            self.assertEqual((await self.publication(member)).data, message("to all"))

    async def test_subscribe_and_unsubscribe(self):
        client = await self.connect(data={"nick": "sub"})
        await self.api.publish(PublishRequest(channel="chat:made", data=message("before")))
        request = SubscribeRequest(user="~sub", channel="chat:made", data={"why": "api"})
        await self.api.subscribe(request)
        joined = await client.heard.next("subscribed")
        self.assertEqual((joined.channel, joined.data), ("chat:made", {"why": "api"}))
        self.assertTrue(joined.recoverable)
        self.assertEqual(joined.stream_position.offset, 1)
        await self.api.publish(PublishRequest(channel="chat:made", data=message("hi")))
        heard = await client.heard.next("publication")
        self.assertEqual((heard.channel, heard.pub.offset), ("chat:made", 2))

        await self.api.unsubscribe(UnsubscribeRequest(user="~sub", channel="chat:made"))
        self.assertEqual((await client.heard.next("unsubscribed")).channel, "chat:made")
        stats = await self.api.presence_stats(PresenceStatsRequest(channel="chat:made"))
        self.assertEqual(stats.num_clients, 0)

    async def test_unsubscribe_a_clients_own_subscription(self):
        member = await self.member("chat:own", data={"nick": "own"})
        await self.api.unsubscribe(UnsubscribeRequest(user="~own", channel="chat:own"))
        ended = await member.heard.next("unsubscribed")
        self.assertEqual((ended.code, ended.reason), (2000, "server unsubscribe"))

    async def test_disconnect(self):
        client = await self.connect(data={"nick": "out"})
        await self.api.disconnect(DisconnectRequest(user="~out"))
        ended = await client.heard.next("disconnected")
        self.assertEqual((ended.code, ended.reason), (3503, "force disconnect"))

    async def test_disconnect_with_a_code_that_allows_to_come_back(self):
        client = await self.connect(data={"nick": "again"})
        await client.heard.next("connecting")
        why = Disconnect(code=4000, reason="come again")
        await self.api.disconnect(DisconnectRequest(user="~again", disconnect=why))
        lost = await client.heard.next("connecting")
        self.assertEqual((lost.code, lost.reason), (4000, "come again"))
        await client.heard.next("connected")

    async def test_disconnect_spares_a_whitelist(self):
        kept, gone = [await self.connect(token=token({"sub": "42"})) for _ in range(2)]
        request = DisconnectRequest(user="42", whitelist=[kept.hello.client])
        await self.api.disconnect(request)
        self.assertEqual((await gone.heard.next("disconnected")).code, 3503)
        room = await self.subscribe(kept, "still-there")
        await self.publish(room, 1)
        await self.publication(room)

    async def test_disconnect_one_client(self):
        kept, gone = [await self.connect(token=token({"sub": "42"})) for _ in range(2)]
        await self.api.disconnect(DisconnectRequest(user="42", client=gone.hello.client))
        self.assertEqual((await gone.heard.next("disconnected")).code, 3503)
        room = await self.subscribe(kept, "still-there")
        await self.publish(room, 1)
        await self.publication(room)

    async def test_refresh(self):
        client = await self.connect(data={"nick": "fresh"})
        await client.heard.next("connecting")
        await self.api.refresh(RefreshRequest(user="~fresh", expired=True))
        self.assertEqual((await client.heard.next("connecting")).code, 3005)
        await client.heard.next("connected")

    async def test_presence(self):
        ann = await self.member("chat:who", data={"nick": "ann"})
        await self.member("chat:who")
        present = (await self.api.presence(PresenceRequest(channel="chat:who"))).presence
        self.assertEqual(len(present), 2)
        info = present[ann.client.hello.client]
        self.assertEqual((info.user, info.conn_info), ("~ann", {"nick": "ann"}))
        stats = await self.api.presence_stats(PresenceStatsRequest(channel="chat:who"))
        self.assertEqual((stats.num_clients, stats.num_users), (2, 2))
        await self.assert_api_code(108, self.api.presence(PresenceRequest(channel="plain")))

    async def test_history(self):
        for text in "abc":
            await self.api.publish(PublishRequest(channel="chat:past", data=message(text)))
        past = await self.history("chat:past")
        self.assertEqual([p.data["text"] for p in past.publications], ["a", "b", "c"])
        self.assertEqual(past.offset, 3)
        newest = await self.history("chat:past", reverse=True)
        self.assertEqual([p.data["text"] for p in newest.publications], ["c", "b", "a"])
        since = StreamPosition(offset=2, epoch=past.epoch)
        rest = await self.history("chat:past", since=since)
        self.assertEqual([p.data["text"] for p in rest.publications], ["c"])
        position = await self.api.history(HistoryRequest(channel="chat:past"))
        self.assertEqual((position.offset, position.publications), (3, []))
        gone = StreamPosition(offset=2, epoch="gone")
        await self.assert_api_code(112, self.history("chat:past", since=gone))

        await self.api.history_remove(HistoryRemoveRequest(channel="chat:past"))
        self.assertEqual((await self.history("chat:past")).publications, [])

    async def test_channels(self):
        await self.member("chat:one")
        await self.member("chat:one")
        await self.member("two")
        result = await self.api.channels(ChannelsRequest())
        counts = {name: info.num_clients for name, info in result.channels.items()}
        self.assertEqual(counts, {"chat:one": 2, "two": 1})
        result = await self.api.channels(ChannelsRequest(pattern="chat:*"))
        self.assertEqual(list(result.channels), ["chat:one"])

    async def test_info(self):
        await self.member("chat:info", data={"nick": "ann"})
        nodes = (await self.api.info(InfoRequest())).nodes
        self.assertEqual(len(nodes), 1)
        node = nodes[0]
        self.assertTrue(node.uid and node.name and node.version)
        self.assertEqual((node.num_clients, node.num_users, node.num_channels), (1, 1, 1))

    async def test_batch(self):
        for parallel in (False, True):
            room = f"chat:batch-{parallel}"
            requests = [
                PublishRequest(channel=room, data=message("a")),
                BroadcastRequest(channels=[room], data=message("b")),
                HistoryRequest(channel=room),
                InfoRequest(),
            ]
            result = await self.api.batch(BatchRequest(requests=requests, parallel=parallel))
            publish, broadcast, history, info = result.replies
            offsets = {publish.offset, broadcast.responses[0].result.offset}
            self.assertEqual(offsets, {1, 2})
            self.assertEqual(len(info.nodes), 1)
            if not parallel:
                self.assertEqual((publish.offset, history.offset), (1, 2))

    async def test_a_wrong_key(self):
        async with AsyncClient(f"http://{self.server.address}/api", "wrong") as stranger:
            with self.assertRaises(CentUnauthorizedError):
                await soon(stranger.info(InfoRequest()), "401")

    def test_the_synchronous_client(self):
        client = cent.Client(f"http://{self.server.address}/api", API_KEY)
        self.assertEqual(len(client.info(InfoRequest()).nodes), 1)
        client.close()


class ApiOff(SdkTest):
    async def test_without_a_key_there_is_no_api(self):
        async with AsyncClient(f"http://{self.server.address}/api", "any") as client:
            with self.assertRaises(cent.CentTransportError) as refused:
                await soon(client.info(InfoRequest()), "404")
            self.assertEqual(refused.exception.status_code, 404)


if __name__ == "__main__":
    unittest.main()
