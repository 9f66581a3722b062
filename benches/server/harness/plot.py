"""Records to SVG: deliveries a second and CPU per delivery, against messages outstanding. Pure.
Tests: test_plot.py."""

from math import ceil, floor, log10

from .tables import ORDER, good, middle, newest, per_million, unique

WIDTH, HEIGHT = 960, 432
LEFT, TOP, PANEL_W, PANEL_H, GAP = 70, 60, 370, 270, 90
NAMES = {"floor": "floor (bare send)", "relay": "bare relay",
         "ringchat": "ringchat, JSON", "plain": "ringchat, plain",
         "uwebsockets": "uWebSockets", "tungstenite": "tokio-tungstenite",
         "fastwebsockets": "fastwebsockets", "node-ws": "node ws", "php-select": "PHP select"}
# Told apart without colours too: the floors are dashed, ringchat is thick.
COLOURS = {"floor": "#666666", "relay": "#999999", "ringchat": "#d1495b", "plain": "#edae49",
           "uwebsockets": "#2b2d42", "tungstenite": "#00798c", "fastwebsockets": "#30638e",
           "node-ws": "#5b8c5a", "php-select": "#7d5ba6"}


def series(records, layout, figure, scale):
    """`{server: [(window, value)]}`."""
    mine = newest(records, "fanout")
    lines = {}
    for name in ["floor", *ORDER]:
        # Of the floors, that of ringchat's own frames: the longest.
        lengths = unique([r for r in mine if r["server"] == name], "frame_bytes")
        for window in sorted(unique(mine, "window")):
            value = middle(good(mine, "fanout", server=name, layout=layout, window=window,
                                frame_bytes=max(lengths, default=0)), figure)
            if value:
                lines.setdefault(name, []).append((window, scale(value)))
    return lines


def bounds(values):
    """Whole powers of ten around all values."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def short(value):
    """An axis label."""
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def panel(left, title, unit, lines, windows):
    """One plot, both axes logarithmic."""
    low, high = bounds([value for line in lines.values() for _, value in line])
    first, last = log10(windows[0]), log10(windows[-1])
    across = lambda w: left + (PANEL_W * (log10(w) - first) / (last - first) if last > first
                               else PANEL_W / 2)
    up = lambda v: TOP + PANEL_H * (1 - (log10(v) - low) / (high - low))
    out = [f'<text x="{left}" y="{TOP - 24}" class="title">{title}</text>',
           f'<text x="{left}" y="{TOP - 8}">{unit}</text>']
    for power in range(low, high + 1):
        y = up(10.0 ** power)
        out.append(f'<path class="grid" d="M{left} {y:.1f}h{PANEL_W}"/>'
                   f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
                   f'{short(10.0 ** power)}</text>')
    for window in windows:
        out.append(f'<path class="grid" d="M{across(window):.1f} {TOP}v{PANEL_H}"/>'
                   f'<text x="{across(window):.1f}" y="{TOP + PANEL_H + 16}" '
                   f'text-anchor="middle">{window}</text>')
    out.append(f'<text x="{left + PANEL_W / 2}" y="{TOP + PANEL_H + 34}" text-anchor="middle">'
               'messages outstanding per sender</text>')
    for name, points in lines.items():
        path = "L".join(f"{across(w):.1f} {up(v):.1f}" for w, v in points)
        dash = ' stroke-dasharray="5 4"' if name in ("floor", "relay") else ""
        width = 3 if name in ("ringchat", "plain") else 1.8
        colour = COLOURS[name]
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"'
                   f'{dash}/>')
        out += [f'<circle cx="{across(w):.1f}" cy="{up(v):.1f}" r="{width:.1f}" fill="{colour}"/>'
                for w, v in points]
    return out


def legend(names):
    """Below both plots, in as many lines as it takes."""
    out, x, y = [], LEFT, HEIGHT - 34
    for name in names:
        width = 40 + 6.4 * len(NAMES[name])
        if x + width > WIDTH:
            x, y = LEFT, y + 18
        dash = ' stroke-dasharray="5 4"' if name in ("floor", "relay") else ""
        out.append(f'<path d="M{x} {y - 4}h18" stroke="{COLOURS[name]}" stroke-width="3"{dash}/>'
                   f'<text x="{x + 23}" y="{y}">{NAMES[name]}</text>')
        x += width
    return out


def draw(records, layout=None):
    """The whole SVG. `layout`: B if it was measured, else the first. Raises ValueError if there
    is nothing to draw."""
    if not any(record["kind"] == "fanout" for record in records):
        raise ValueError("no fan-out was measured in this file")
    mine = newest(records, "fanout")
    layouts = sorted(unique(mine, "layout"))
    layout = layout or ("B" if "B" in layouts else layouts[0])
    rate = series(records, layout, "deliveries_per_s", per_million)
    cost = series(records, layout, "ns_per_delivery", float)
    if not rate or not cost:
        raise ValueError(f"no run of layout {layout} counts")
    windows = sorted({window for line in cost.values() for window, _ in line})
    room = {"A": "one room of 100", "B": "one room of 1,000", "C": "50 rooms of 20"}[layout]
    where = mine[-1]["environment"]
    note = f"{room}; {where['kernel']}, {where['cpu']}, one core for the server"
    body = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12">',
        "<style>.grid{stroke:#ddd;fill:none}.title{font-size:14px;font-weight:bold}"
        "text{fill:#333}</style>",
        f"<title>Deliveries a second and CPU per delivery, {escape(note)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="18" fill="#666">{escape(note)}</text>',
        *panel(LEFT, "Deliveries a second", "millions; higher is better", rate, windows),
        *panel(LEFT + PANEL_W + GAP, "CPU per delivery", "ns; lower is better", cost, windows),
        *legend(list(cost)), "</svg>"]
    return "\n".join(body) + "\n"


def escape(text):
    """For XML text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
