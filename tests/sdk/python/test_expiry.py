"""The Python client SDK, unchanged, when tokens really run out: what the server ends, and how the SDK
comes back."""

import unittest

from support import FORMS, SECRET, SdkTest, in_seconds, message, token


class Backend:
    """Gives tokens while it is `up`, and counts how often it is asked."""

    def __init__(self, first, later):
        self.first, self.later = first, later
        self.up = True
        self.asked = 0

    async def get_token(self, *_):
        self.asked += 1
        if not self.up:
            raise RuntimeError("the backend is down")
        return self.first if self.asked == 1 else self.later


class Expiry(SdkTest):
    settings = (
        f"client.token.hmac_secret_key={SECRET}",
        # Longer than a second, in which Unix time and the SDK's timer may differ.
        "client.expired_close_delay=2s",
        "client.expired_sub_close_delay=2s",
    )

    async def test_3005_while_the_backend_is_down_and_back_with_a_new_token(self):
        for protobuf in FORMS:
            with self.subTest(protobuf=protobuf):
                short, good = ({"sub": "42", "exp": in_seconds(s)} for s in (2, 3600))
                app = Backend(token(short), token(good))
                room = await self.member(
                    f"chat:back-{protobuf}", protobuf, get_token=app.get_token)
                heard = room.client.heard
                await heard.next("connecting")
                app.up = False
                self.assertEqual((await heard.next("connecting")).code, 3005)
                app.up = True
                await heard.next("connected")
                await room.heard.next("subscribed")
                await self.publish(room, message("back"))
                self.assertEqual((await self.publication(room)).data, message("back"))

    async def test_2501_while_the_backend_is_down_and_back_in_the_room(self):
        for protobuf in FORMS:
            with self.subTest(protobuf=protobuf):
                client = await self.connect(protobuf, token=token({"sub": "42"}))
                await client.heard.next("connecting")
                name = f"$chat:closing-{protobuf}"
                claims = ({"sub": "42", "channel": name, "exp": in_seconds(s)} for s in (2, 3600))
                app = Backend(*map(token, claims))
                room = await self.subscribe(client, name, get_token=app.get_token)
                await room.heard.next("subscribing")
                app.up = False
                self.assertEqual((await room.heard.next("subscribing")).code, 2501)
                app.up = True
                await room.heard.next("subscribed")
                await self.publish(room, message("in again"))
                self.assertEqual((await self.publication(room)).data, message("in again"))
                self.assertEqual(client.heard.left("connecting"), 0)


if __name__ == "__main__":
    unittest.main()
