"""The Python client SDK, unchanged, in its JSON and its protobuf form."""

import asyncio
import base64
import unittest

import centrifuge

from support import FORMS, SECRET, SdkTest, in_seconds, message, soon, token


def in_both_forms(test):
    """Runs a test once for each form of the SDK, with rooms and nicks of its own."""

    async def both(self):
        for protobuf in FORMS:
            form = "protobuf" if protobuf else "json"
            with self.subTest(form=form):
                await test(self, protobuf, form)

    both.__name__ = test.__name__
    return both


class Rooms(SdkTest):
    settings = ("presence.grace=0s",)

    @in_both_forms
    async def test_connects_and_learns_who_it_is(self, protobuf, form):
        anonymous = await self.connect(protobuf)
        self.assertRegex(anonymous.hello.client, "^[0-9a-f-]{36}$")
        guest = await self.connect(protobuf, data={"nick": f"guest-{form}"})
        self.assertEqual(self.decode(guest.hello.data)["nick"], f"guest-{form}")

    @in_both_forms
    async def test_members_hear_each_other(self, protobuf, form):
        room = f"chat:hear-{form}"
        ann = await self.member(room, protobuf, data={"nick": f"ann-{form}"})
        ben = await self.member(room, protobuf, data={"nick": f"ben-{form}"})
        joined = await ann.heard.take("join", 2)
        self.assertEqual([j.info.user for j in joined], [f"~ann-{form}", f"~ben-{form}"])
        await self.publish(ben, message("hello"))
        for member in (ann, ben):
            pub = await self.publication(member)
            self.assertEqual((pub.data, pub.offset), (message("hello"), 1))
            self.assertEqual(pub.info.user, f"~ben-{form}")
            self.assertEqual(self.decode(pub.info.conn_info), {"nick": f"ben-{form}"})
        await ben.unsubscribe()
        self.assertEqual((await ann.heard.next("leave")).info.user, f"~ben-{form}")

    async def test_both_forms_share_a_room(self):
        text = await self.member("chat:mixed")
        binary = await self.member("chat:mixed", protobuf=True)
        await self.publish(text, message("from JSON"))
        await self.publish(binary, message("from protobuf"))
        for member in (text, binary):
            heard = [(await self.publication(member)).data["text"] for _ in range(2)]
            self.assertEqual(heard, ["from JSON", "from protobuf"])

    async def test_bytes_that_are_not_json(self):
        text = await self.member("bytes")
        binary = await self.member("bytes", protobuf=True)
        raw = b"\xff\x00{"
        await soon(binary.publish(raw), "the answer to a publish")
        self.assertEqual((await binary.heard.next("publication")).pub.data, raw)
        encoded = base64.b64encode(raw).decode()
        self.assertEqual((await text.heard.next("publication")).pub.data, encoded)
        chat = await self.member("chat:bytes", protobuf=True)
        await self.assert_code(107, chat.publish(raw))

    @in_both_forms
    async def test_reads_the_history_both_ways(self, protobuf, form):
        room = await self.member(f"chat:history-{form}", protobuf)
        for text in "abc":
            await self.publish(room, message(text))

        async def texts(**options):
            history = await soon(room.history(**options), "the history")
            self.assertEqual(history.offset, 3)
            return [self.decode(p.data)["text"] for p in history.publications]

        since = centrifuge.StreamPosition(2, room.hello.stream_position.epoch)
        self.assertEqual(await texts(), [])
        self.assertEqual(await texts(limit=10), ["a", "b", "c"])
        self.assertEqual(await texts(limit=2, reverse=True), ["c", "b"])
        self.assertEqual(await texts(limit=10, since=since), ["c"])
        gone = centrifuge.StreamPosition(2, "gone")
        await self.assert_code(112, room.history(limit=1, since=gone))

    @in_both_forms
    async def test_presence(self, protobuf, form):
        room = f"chat:present-{form}"
        ann = await self.member(room, protobuf, data={"nick": f"anna-{form}"})
        await self.member(room, protobuf)
        present = (await soon(ann.presence(), "the presence")).clients
        self.assertEqual(len(present), 2)
        self.assertEqual(present[ann.client.hello.client].user, f"~anna-{form}")
        stats = await soon(ann.presence_stats(), "the presence stats")
        self.assertEqual((stats.num_clients, stats.num_users), (2, 2))

    @in_both_forms
    async def test_errors_have_their_codes(self, protobuf, form):
        room = await self.member(f"chat:errors-{form}", protobuf)
        client = room.client
        data = self.encode(message("x"), protobuf)
        await self.assert_code(107, room.publish(self.encode({"type": "nonsense"}, protobuf)))
        await self.assert_code(103, client.publish("chat:elsewhere", data))
        await self.assert_code(102, client.publish("nowhere:x", data))
        await self.assert_code(104, client.rpc("nothing", data))
        await self.publish(room, message("still here"))
        self.assertEqual((await self.publication(room)).data, message("still here"))

    @in_both_forms
    async def test_rpc(self, protobuf, form):
        client = await self.connect(protobuf, data={"nick": f"who-{form}"})
        result = await soon(client.rpc("whoami", self.encode({}, protobuf)), "whoami")
        self.assertEqual(self.decode(result.data)["user"], f"~who-{form}")

    @in_both_forms
    async def test_recovers_what_it_missed(self, protobuf, form):
        room = f"chat:missed-{form}"
        ann = await self.member(room, protobuf)
        ben = await self.member(room, protobuf)
        await self.publish(ben, message("0"))
        await self.publication(ann)
        await ann.client.disconnect()
        for n in range(1, 21):
            await self.publish(ben, message(str(n)))
        await ann.client.connect()
        back = await ann.heard.next("subscribed")
        self.assertTrue(back.was_recovering and back.recovered)
        heard = [await self.publication(ann) for _ in range(20)]
        self.assertEqual([p.offset for p in heard], list(range(2, 22)))
        self.assertEqual([p.data["text"] for p in heard], [str(n) for n in range(1, 21)])
        self.assertEqual(ann.heard.left("publication"), 0)


class ShortHistory(SdkTest):
    settings = ("channel.namespaces.chat.history_size=3",)

    @in_both_forms
    async def test_is_told_when_the_history_is_too_short(self, protobuf, form):
        room = f"chat:short-{form}"
        ann = await self.member(room, protobuf)
        ben = await self.member(room, protobuf)
        await ann.client.disconnect()
        for n in range(4):
            await self.publish(ben, message(str(n)))
        await ann.client.connect()
        back = await ann.heard.next("subscribed")
        self.assertEqual((back.was_recovering, back.recovered), (True, False))
        await self.publish(ben, message("live"))
        self.assertEqual((await self.publication(ann)).offset, 5)


class Tokens(SdkTest):
    settings = (f"client.token.hmac_secret_key={SECRET}",)

    @in_both_forms
    async def test_a_token_says_who_one_is(self, protobuf, form):
        claims = {"sub": "42", "info": {"name": "Ann"}, "exp": in_seconds(3600)}
        room = await self.member(f"chat:token-{form}", protobuf, token=token(claims))
        await self.publish(room, message("hello"))
        info = (await self.publication(room)).info
        self.assertEqual((info.user, self.decode(info.conn_info)), ("42", {"name": "Ann"}))

    @in_both_forms
    async def test_without_a_token_one_stays_outside(self, protobuf, form):
        client = self.new_client(protobuf)
        await client.connect()
        self.assertEqual((await client.heard.next("disconnected")).code, 101)

    @in_both_forms
    async def test_a_token_that_is_not_ours_ends_it(self, protobuf, form):
        stranger = token({"sub": "42"}, "a key that this server does not have")
        client = self.new_client(protobuf, token=stranger)
        await client.connect()
        self.assertEqual((await client.heard.next("disconnected")).code, 3500)

    @in_both_forms
    async def test_an_expiring_token_is_refreshed(self, protobuf, form):
        asked = []
        enough = asyncio.Event()

        async def get_token():
            asked.append("token")
            if len(asked) == 3:
                enough.set()
            # Two that are soon over, then one that lasts.
            return token({"sub": "42", "exp": in_seconds(2 if len(asked) < 3 else 3600)})

        client = await self.connect(protobuf, get_token=get_token)
        await client.heard.next("connecting")
        room = await self.subscribe(client, f"chat:refresh-{form}")
        await soon(enough.wait(), "the third token")
        await self.publish(room, message("still the same"))
        self.assertEqual((await self.publication(room)).info.client, client.hello.client)
        self.assertEqual(client.heard.left("connecting"), 0)

    @in_both_forms
    async def test_a_private_room_wants_a_token_of_its_own(self, protobuf, form):
        client = await self.connect(protobuf, token=token({"sub": "42"}))
        room = f"$private-{form}"
        asked = []

        async def get_token(channel):
            asked.append(channel)
            return token({"sub": "42", "channel": channel, "exp": in_seconds(3600)})

        subscription = await self.subscribe(client, room, get_token=get_token)
        self.assertEqual(asked, [room])
        await self.publish(subscription, "secret")
        self.assertEqual((await self.publication(subscription)).data, "secret")


if __name__ == "__main__":
    unittest.main()
