"""Where peers come from, and why one is left out. Nothing is built."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from . import servers
from .processes import Failure

COMMANDS = {name: (lambda port, _: ["server", port]) for name in servers.NAMES}


class Peers(unittest.TestCase):
    """Of a checkout that carries one, and a folder that has another."""

    def setUp(self):
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.folder = Path(home.name) / "peers"
        (self.folder / "node-ws").mkdir(parents=True)
        self.change("prepare", return_value=COMMANDS)
        self.change("shutil.which", return_value="/bin/true")

    def change(self, name, **how):
        """Replaces something that `servers` uses, until the test ends."""
        patch = mock.patch(f"{servers.__name__}.{name}", **how)
        self.addCleanup(patch.stop)
        return patch.start()

    def peers(self, folder, wanted=servers.NAMES):
        """(names of those that were found, why the others were left out)."""
        found, left_out = servers.peers(folder, "scratch", wanted, lambda _: None)
        return [server.name for server in found], left_out

    def test_what_the_checkout_carries_needs_no_folder(self):
        found, left_out = self.peers(None)
        self.assertEqual(found, ["uwebsockets"])
        self.assertEqual(set(left_out), {"tungstenite", "fastwebsockets", "node-ws", "php-select"})
        self.assertEqual(set(left_out.values()), {servers.NO_FOLDER})

    def test_the_others_come_from_the_folder(self):
        found, left_out = self.peers(self.folder)
        self.assertEqual(found, ["uwebsockets", "node-ws"])
        self.assertEqual(left_out["php-select"], "the folder has no php-select")

    def test_a_tool_that_is_missing_is_named(self):
        self.change("shutil.which", side_effect=lambda tool: tool != "c++" or None)
        found, left_out = self.peers(None, ["uwebsockets", "floor"])
        self.assertEqual((found, left_out), ([], {"uwebsockets": "c++ not installed"}))

    def test_one_that_cannot_be_built_is_left_out_with_the_reason(self):
        self.change("prepare", side_effect=Failure("c++ -O3: no C++20\nand more"))
        found, left_out = self.peers(None, ["uwebsockets"])
        self.assertEqual((found, left_out), ([], {"uwebsockets": "c++ -O3: no C++20"}))


if __name__ == "__main__":
    unittest.main()
