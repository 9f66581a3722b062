"""Arithmetic and words of the tables, on made-up records."""

import unittest

from . import tables
from .measure import parse_strace, payload_of, reason, sums
from .servers import parse_metrics


def record(server, ns, *, verdict="ok", run=1, series="2026-01-02T03:04:05Z", **more):
    """A fan-out record of layout A, W1."""
    return {"kind": "fanout", "server": server, "verdict": verdict, "why": "", "run": run,
            "series": series, "layout": "A", "window": 1, "ns_per_delivery": ns,
            "deliveries_per_s": 2e6, "frame_bytes": 132, "commit": "abc", "environment":
            {"kernel": "Linux 6", "cpu": "a CPU", "cores": 2}, "workers": 1} | more


def row(lines, begin):
    """The cells of the one row that begins so."""
    found = [line for line in lines if line.startswith(f"| {begin}")]
    assert len(found) == 1, (begin, found, lines)
    return [cell.strip() for cell in found[0].strip("|").split("|")][1:]


class Numbers(unittest.TestCase):
    """How figures look."""

    def test_numbers(self):
        for value, text in ((None, "–"), (0, "0.00"), (1.234, "1.23"), (12.34, "12.3"),
                            (99.96, "100.0"), (123.4, "123"), (1234567, "1,234,567")):
            self.assertEqual(tables.number(value), text)

    def test_spread(self):
        runs = [{"x": 3.0}, {"x": 1.0}, {"x": 200.0}, {"x": None}, {}]
        self.assertEqual(tables.spread(runs, "x"), "3.00 (1.00–200)")
        self.assertEqual(tables.spread(runs[:1], "x"), "3.00")
        self.assertEqual(tables.spread([], "x"), "–")

    def test_ratio(self):
        self.assertEqual(tables.ratio(110, 100), "1.10")
        self.assertEqual(tables.ratio(None, 100), "–")
        self.assertEqual(tables.ratio(110, None), "–")


class FanOut(unittest.TestCase):
    """The table of the cost of a delivery."""

    def test_ratios_are_those_of_medians_and_equal_lengths(self):
        records = [record("floor", ns) for ns in (90, 100, 300)]
        records += [record("floor", 200, frame_bytes=190)]
        records += [record("ringchat", ns, frame_bytes=190, batch=1.5) for ns in (210, 220, 900)]
        records += [record("floor-real", 176, of="ringchat", frame_bytes=190)]
        records += [record("tungstenite", 110), record("node-ws", 440)]
        lines = tables.fanout(records)
        self.assertEqual(row(lines, "the floor: bare `send`, 132 B"), ["100 (90.0–300)"])
        self.assertEqual(row(lines, "**ringchat**, JSON: to the floor |"), ["1.10"])
        self.assertEqual(row(lines, "**ringchat**, JSON: to the best peer"), ["2.00"])
        self.assertEqual(row(lines, "**ringchat**, JSON: messages per send"), ["1.50"])
        self.assertEqual(row(lines, "**ringchat**, JSON: to the floor at that"), ["1.25"])
        self.assertEqual(row(lines, "node `ws`: to the floor"), ["4.40"])

    def test_the_relay_of_the_same_length_is_what_counts(self):
        records = [record("relay", ns, send_ns_per_delivery=send, frame_bytes=length)
                   for ns, send, length in ((110, 100, 132), (210, 200, 190))]
        records += [record("ringchat", 220, frame_bytes=190), record("tungstenite", 121)]
        lines = tables.fanout(records)
        self.assertEqual(row(lines, "bare `send` under the generator's load, 190 B"), ["200"])
        self.assertEqual(row(lines, "a bare relay: `recv`, `send`, 132 B"), ["110"])
        mine, theirs = "**ringchat**, JSON", "tokio-tungstenite, feed + flush"
        self.assertEqual(row(lines, f"{mine}: to `send` under the same load"), ["1.10"])
        self.assertEqual(row(lines, f"{mine}: to the bare relay"), ["1.05"])
        self.assertEqual(row(lines, f"{theirs}: to the bare relay"), ["1.10"])
        # It is no peer to be better than.
        self.assertEqual(row(lines, f"{mine}: to the best peer"), ["1.82"])
        self.assertEqual([line for line in lines if "relay: to" in line and "a bare" in line], [])

    def test_refused_runs_do_not_count_and_are_named(self):
        records = [record("ringchat", 100), record("ringchat", 1, verdict="failed") |
                   {"why": "missing 7"}]
        self.assertEqual(row(tables.fanout(records), "**ringchat**, JSON, 132 B"), ["100"])
        self.assertEqual(tables.refused(records), ["* ringchat A W1: 1 (missing 7)"])
        self.assertIn("missing 7", tables.summary(records))

    def test_the_summary_takes_the_last_invocation(self):
        records = [record("ringchat", 100), record("ringchat", 300, series="2026-02-01T00:00:00Z")]
        page = tables.summary(records)
        self.assertIn("300", page)
        self.assertNotIn("| 100", page)


class Workers(unittest.TestCase):
    """The table of what a second worker costs."""

    def test_rooms_that_gather_and_rooms_that_do_not(self):
        made = [(1, True, 100), (1, True, 120), (2, True, 88), (2, False, 143)]
        records = [record("ringchat", ns, kind="workers", load="C 30k", workers=count,
                          gathers=gathers) for count, gathers, ns in made]
        lines = tables.workers(records)
        mine = "**ringchat**, JSON"
        self.assertEqual(row(lines, f"{mine}, 1 worker |"), ["110 (100–120)"])
        self.assertEqual(row(lines, f"{mine}, 2 workers, rooms apart |"), ["143"])
        self.assertEqual(row(lines, f"{mine}: two to one |"), ["0.80"])
        self.assertEqual(row(lines, f"{mine}: two to one, rooms apart |"), ["1.30"])


class Sources(unittest.TestCase):
    """What other programs say."""

    def test_metrics(self):
        text = ("# HELP x y\nringchat_sends_total{shard=\"0\"} 10\n"
                "ringchat_sends_total{shard=\"1\"} 30\nringchat_deliveries_total 80\n"
                "ringchat_sent_bytes_total 16000\nringchat_turns_total 4\n# EOF\n")
        got = sums(parse_metrics(text, "ringchat"))
        self.assertEqual(got, {"batch": 2.0, "bytes_per_delivery": 200.0,
                               "deliveries_per_turn": 20.0})
        self.assertEqual(sums({}), {})
        text = ("relay_deliveries_total 80\nrelay_sends_total 40\nrelay_sent_bytes_total 160\n"
                "relay_turns_total 8\nrelay_sending_cpu_seconds_total 0.000004\n")
        self.assertEqual(sums(parse_metrics(text, "relay")),
                         {"batch": 2.0, "bytes_per_delivery": 2.0, "deliveries_per_turn": 10.0,
                          "send_ns_per_delivery": 50.0})

    def test_payloads_fill_their_frames(self):
        self.assertEqual([payload_of(length) for length in (2, 127, 130, 132, 255)],
                         [0, 125, 126, 128, 251])

    def test_strace(self):
        text = ("% time     seconds  usecs/call     calls    errors syscall\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                " 97.00    0.100000           5     20000           io_uring_enter\n"
                "  3.00    0.010000           1        10         2 futex\n"
                "------ ----------- ----------- --------- --------- ----------------\n"
                "100.00    0.110000           5     20010         2 total\n")
        self.assertEqual(parse_strace(text), {"io_uring_enter": 20000, "futex": 10})

    def test_reasons(self):
        report = {"verdict": "failed", "checks": {"missing": 5, "out_of_order": 1},
                  "generator": {"limited": False}}
        self.assertEqual(reason(report), "missing 5; out of order 1")
        self.assertEqual(reason(report | {"verdict": "ok"}), "")


if __name__ == "__main__":
    unittest.main()
