"""The plot: well-formed, and with a line for each server."""

import unittest
from xml.etree import ElementTree

from . import plot, servers, tables
from .test_tables import record


class Plot(unittest.TestCase):
    """On made-up records."""

    def test_it_is_xml_with_every_line(self):
        records = [record(server, 2500 / window, window=window, layout=layout)
                   for server in ("floor", "ringchat", "node-ws") for window in (1, 32, 512)
                   for layout in "AB"]
        # The floor itself says no deliveries a second in some records.
        records.append(record("floor", 5, window=512, deliveries_per_s=None))
        for layout, room in ((None, "one room of 1,000"), ("A", "one room of 100")):
            svg = plot.draw(records, layout)
            root = ElementTree.fromstring(svg)
            self.assertIn(room, svg)
            circles = root.findall("{http://www.w3.org/2000/svg}circle")
            self.assertEqual(len(circles), 2 * 3 * 3)

    def test_one_window_is_enough(self):
        ElementTree.fromstring(plot.draw([record("ringchat", 2500)]))

    def test_all_servers_fit_in(self):
        names = ["floor", *(name for name in tables.ORDER if name in plot.NAMES)]
        self.assertEqual(set(names), set(servers.NAMES) - {"accept-loop", "upgrade"})
        root = ElementTree.fromstring(plot.draw([record(name, 2500) for name in names]))
        svg = "{http://www.w3.org/2000/svg}"
        self.assertEqual(len(root.findall(f"{svg}circle")), 2 * len(names))
        for text in root.findall(f"{svg}text"):
            if text.text in plot.NAMES.values():
                end = float(text.get("x")) + 6.4 * len(text.text)
                self.assertLess(end, plot.WIDTH, text.text)
                self.assertLess(float(text.get("y")), plot.HEIGHT, text.text)

    def test_nothing_to_draw_is_said(self):
        with self.assertRaisesRegex(ValueError, "no fan-out"):
            plot.draw([record("ringchat", 1) | {"kind": "memory"}])
        with self.assertRaisesRegex(ValueError, "no run of layout A counts"):
            plot.draw([record("ringchat", 1, verdict="failed")])


if __name__ == "__main__":
    unittest.main()
