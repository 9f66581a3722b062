"""The Python SDK of the server API (`cent`), unchanged: every method that it has and that the
public docs describe for the server itself, with every field of its requests that is served.
`version` and `version_epoch` are younger than the SDK: it passes on what it does not know."""

import base64
import json
import unittest

import cent
from cent import (
    AsyncClient, BatchRequest, BoolValue, BroadcastRequest, CentApiResponseError,
    CentUnauthorizedError, ChannelOptionsOverride, ChannelsRequest, Disconnect,
    DisconnectRequest, HistoryRemoveRequest, HistoryRequest, InfoRequest, PresenceRequest,
    PresenceStatsRequest, PublishRequest, RefreshRequest, StreamPosition, SubscribeRequest,
    UnsubscribeRequest,
)

from support import API_KEY, SECRET, SdkTest, in_seconds, message, soon, token


class Api(SdkTest):
    settings = (
        f"http_api.key={API_KEY}",
        f"client.token.hmac_secret_key={SECRET}",
        "client.allow_guests=true",
        "client.allow_anonymous_connect_without_token=true",
        "presence.grace=0s",
        "client.expired_sub_close_delay=0s",
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

    async def test_publish_bytes_that_are_not_json(self):
        text = await self.member("plain")
        binary = await self.member("plain", protobuf=True)
        raw = b"\xff\x00{"
        encoded = base64.b64encode(raw).decode()
        await self.api.publish(PublishRequest(channel="plain", data=None, b64data=encoded))
        self.assertEqual((await text.heard.next("publication")).pub.data, encoded)
        self.assertEqual((await binary.heard.next("publication")).pub.data, raw)

    async def test_publish_only_what_is_newer(self):
        member = await self.member("chat:version")
        offsets = []
        for number, epoch in ((2, "a"), (1, "a"), (2, "a"), (3, "a"), (1, "b")):
            request = PublishRequest(
                channel="chat:version", data=message(f"{number}{epoch}"),
                version=number, version_epoch=epoch,
            )
            offsets.append((await self.api.publish(request)).offset)
        self.assertEqual(offsets, [1, 1, 1, 2, 3])
        heard = [(await self.publication(member)).data["text"] for _ in range(3)]
        self.assertEqual(heard, ["2a", "3a", "1b"])

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

    async def test_broadcast_with_every_field(self):
        rooms = ["chat:fields-0", "chat:fields-1"]
        members = [await self.member(room) for room in rooms]

        async def broadcast(text, **fields):
            request = BroadcastRequest(channels=rooms, data=message(text), **fields)
            responses = (await self.api.broadcast(request)).responses
            return [response.result.offset for response in responses]

        self.assertEqual(await broadcast("tags", tags={"k": "v"}), [1, 1])
        self.assertEqual(await broadcast("skipped", skip_history=True), [0, 0])
        for text in ("once", "again"):
            self.assertEqual(await broadcast(text, idempotency_key="the same"), [2, 2])
        encoded = base64.b64encode(json.dumps(message("base64")).encode()).decode()
        self.assertEqual(await broadcast("instead", b64data=encoded), [3, 3])
        self.assertEqual(await broadcast("two", version=2, version_epoch="a"), [4, 4])
        self.assertEqual(await broadcast("one", version=1, version_epoch="a"), [4, 4])
        await broadcast("last")
        for member in members:
            heard = [await self.publication(member) for _ in range(6)]
            expect = ["tags", "skipped", "once", "base64", "two", "last"]
            self.assertEqual([pub.data["text"] for pub in heard], expect)
            self.assertEqual(heard[0].tags, {"k": "v"})

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

    async def test_subscribe_and_unsubscribe_one_client(self):
        one, other = [await self.connect(token=token({"sub": "42"})) for _ in range(2)]
        await self.api.subscribe(
            SubscribeRequest(user="42", channel="chat:client", client=one.hello.client)
        )
        self.assertEqual((await one.heard.next("subscribed")).channel, "chat:client")
        await self.api.subscribe(SubscribeRequest(user="42", channel="chat:client"))
        self.assertEqual((await other.heard.next("subscribed")).channel, "chat:client")
        await self.api.unsubscribe(
            UnsubscribeRequest(user="42", channel="chat:client", client=one.hello.client)
        )
        self.assertEqual((await one.heard.next("unsubscribed")).channel, "chat:client")
        present = await self.api.presence(PresenceRequest(channel="chat:client"))
        self.assertEqual(list(present.presence), [other.hello.client])
        self.assertEqual([c.heard.left("subscribed") for c in (one, other)], [0, 0])

    async def test_subscribe_with_information_options_and_an_end(self):
        witness = await self.connect(data={"nick": "witness"})
        await self.api.subscribe(SubscribeRequest(user="~witness", channel="chat:roles"))
        await witness.heard.next("subscribed")
        await witness.heard.next("join")
        client = await self.connect(data={"nick": "owner"})
        off = BoolValue(value=False)
        await self.api.subscribe(
            SubscribeRequest(
                user="~owner",
                channel="chat:roles",
                info={"role": "owner"},
                override=ChannelOptionsOverride(force_push_join_leave=off, force_recovery=off),
                expire_at=in_seconds(2),
            )
        )
        joined = await client.heard.next("subscribed")
        self.assertFalse(joined.recoverable)
        join = await witness.heard.next("join")
        self.assertEqual(join.info.chan_info, {"role": "owner"})
        self.assertEqual((await client.heard.next("unsubscribed")).channel, "chat:roles")
        self.assertEqual(client.heard.left("join"), 0)
        over = SubscribeRequest(user="~owner", channel="chat:roles", expire_at=in_seconds(-10))
        await self.assert_api_code(110, self.api.subscribe(over))

    async def test_subscribe_with_bytes(self):
        client = await self.connect(protobuf=True, data={"nick": "bytes"})
        raw = b"\xff\x00{"
        encoded = base64.b64encode(raw).decode()
        await self.api.subscribe(
            SubscribeRequest(user="~bytes", channel="chat:bytes", b64data=encoded)
        )
        self.assertEqual((await client.heard.next("subscribed")).data, raw)

    async def test_subscribe_and_recover(self):
        for text in "abc":
            result = await self.api.publish(
                PublishRequest(channel="chat:since", data=message(text))
            )
        client = await self.connect(data={"nick": "since"})
        since = StreamPosition(offset=1, epoch=result.epoch)
        await self.api.subscribe(
            SubscribeRequest(user="~since", channel="chat:since", recover_since=since)
        )
        await client.heard.next("subscribed")
        missed = await client.heard.take("publication", 2)
        self.assertEqual([p.pub.data["text"] for p in missed], ["b", "c"])

    async def test_subscribe_is_refused(self):
        await self.connect(data={"nick": "no"})
        await self.assert_api_code(
            102, self.api.subscribe(SubscribeRequest(user="~no", channel="nowhere:x"))
        )
        await self.assert_api_code(107, self.api.subscribe(SubscribeRequest(user="", channel="x")))

    async def test_a_session_id_means_nobody(self):
        room = await self.member("chat:session", data={"nick": "session"})
        who = {"user": "~session", "session": "none has this"}
        await self.api.subscribe(SubscribeRequest(channel="chat:other", **who))
        await self.api.unsubscribe(UnsubscribeRequest(channel="chat:session", **who))
        await self.api.refresh(RefreshRequest(expired=True, **who))
        await self.api.disconnect(DisconnectRequest(**who))
        await self.publish(room, message("still here"))
        self.assertEqual((await self.publication(room)).data, message("still here"))
        stats = await self.api.presence_stats(PresenceStatsRequest(channel="chat:other"))
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

    async def test_refresh_one_client_until_then(self):
        kept, gone = [await self.connect(token=token({"sub": "42"})) for _ in range(2)]
        for client in (kept, gone):
            await client.heard.next("connecting")
        later = RefreshRequest(user="42", client=kept.hello.client, expire_at=in_seconds(3600))
        await self.api.refresh(later)
        over = RefreshRequest(user="42", client=gone.hello.client, expire_at=in_seconds(-10))
        await self.api.refresh(over)
        self.assertEqual((await gone.heard.next("connecting")).code, 3005)
        room = await self.subscribe(kept, "still-there")
        await self.publish(room, 1)
        await self.publication(room)
        self.assertEqual(kept.heard.left("connecting"), 0)
        await self.connect(data={"nick": "guest"})
        guest = RefreshRequest(user="~guest", expire_at=in_seconds(3600))
        await self.assert_api_code(108, self.api.refresh(guest))

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
        every = await self.api.history(HistoryRequest(channel="chat:past", limit=-1))
        self.assertEqual(every, past)
        two = await self.api.history(HistoryRequest(channel="chat:past", limit=2))
        self.assertEqual([p.data["text"] for p in two.publications], ["a", "b"])
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
        self.assertEqual(node.num_subs, 1)
        self.assertGreaterEqual(node.uptime, 0)

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

    async def test_batch_of_every_method(self):
        await self.connect(data={"nick": "batch"})
        who = {"user": "~batch", "channel": "chat:all"}
        requests = [
            PublishRequest(channel="chat:all", data=message("a")),
            BroadcastRequest(channels=["chat:all"], data=message("b")),
            SubscribeRequest(**who),
            PresenceRequest(channel="chat:all"),
            PresenceStatsRequest(channel="chat:all"),
            ChannelsRequest(pattern="chat:*"),
            HistoryRequest(channel="chat:all", limit=10),
            HistoryRemoveRequest(channel="chat:all"),
            InfoRequest(),
            UnsubscribeRequest(**who),
            RefreshRequest(user="~batch"),
            DisconnectRequest(user="~batch"),
        ]
        replies = (await self.api.batch(BatchRequest(requests=requests))).replies
        self.assertEqual([type(r) for r in replies], [r.__returning__ for r in requests])
        self.assertEqual(len(replies[3].presence), 1)
        self.assertEqual((replies[4].num_clients, list(replies[5].channels)), (1, ["chat:all"]))
        self.assertEqual(len(replies[6].publications), 2)

    async def test_a_wrong_key(self):
        async with AsyncClient(f"http://{self.server.address}/api", "wrong") as stranger:
            with self.assertRaises(CentUnauthorizedError):
                await soon(stranger.info(InfoRequest()), "401")

    def test_the_synchronous_client(self):
        client = cent.Client(f"http://{self.server.address}/api", API_KEY)
        self.assertEqual(len(client.info(InfoRequest()).nodes), 1)
        published = client.publish(PublishRequest(channel="chat:sync", data=message("hi")))
        history = client.history(HistoryRequest(channel="chat:sync", limit=1))
        self.assertEqual((published.offset, history.epoch), (1, published.epoch))
        with self.assertRaises(CentApiResponseError) as refused:
            client.presence(PresenceRequest(channel="nowhere:x"))
        self.assertEqual(refused.exception.code, 102)
        client.close()


class ApiTransport(SdkTest):
    settings = (f"http_api.key={API_KEY}", "http_api.error_mode=transport")

    async def test_an_error_is_the_status(self):
        async with AsyncClient(f"http://{self.server.address}/api", API_KEY) as client:
            with self.assertRaises(cent.CentTransportError) as refused:
                await soon(client.publish(PublishRequest(channel="nowhere:x", data=1)), "404")
            self.assertEqual(refused.exception.status_code, 404)
            await soon(client.publish(PublishRequest(channel="news", data=1)), "a result")


class ApiOff(SdkTest):
    async def test_without_a_key_there_is_no_api(self):
        async with AsyncClient(f"http://{self.server.address}/api", "any") as client:
            with self.assertRaises(cent.CentTransportError) as refused:
                await soon(client.info(InfoRequest()), "404")
            self.assertEqual(refused.exception.status_code, 404)


if __name__ == "__main__":
    unittest.main()
