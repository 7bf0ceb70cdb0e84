"""Bars of the test error by dataset and run, as test_error.png.

Written with the standard library only: a small canvas, a 5 x 7 pixel font and
zlib for the PNG. With matplotlib it takes a tenth of the lines. `labels.json`,
if there, maps folder names to legend labels and limits the figure to its runs.
"""

import json
import os
import re
import struct
import zlib

WIDTH, HEIGHT = 1500, 900
LEFT, RIGHT, BOTTOM = 150, 1470, 780  # the plot's frame, below the legend
BLACK, GREY, LIGHT, WHITE = (34, 34, 34), (110, 110, 110), (226, 226, 226), (255, 255, 255)
# Colours that stay apart for colour-blind readers.
COLOURS = [(120, 120, 120), (0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0), (204, 121, 167)]
LINES = [(0, 0), (12, 0), (0, 12), (12, 12), (6, 0), (0, 6)]  # pixels between white lines across and along a bar, 0 for none
LONGEST = 70  # letters of a label

# Rows of five bits, top to bottom, two hexadecimal digits each.
FONT = dict(zip(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,-+=():/_± ",
    """0E11111F111111 1E11111E11111E 0E11101010110E 1E11111111111E 1F10101E10101F 1F10101E101010
    0E11101711110F 1111111F111111 0E04040404040E 0702020202120C 11121418141211 1010101010101F
    111B1515111111 11111915131111 0E11111111110E 1E11111E101010 0E11111115120D 1E11111E141211
    0F10100E01011E 1F040404040404 1111111111110E 11111111110A04 11111115151B11 11110A040A1111
    11110A04040404 1F01020408101F 00000E010F110F 1010161911111E 00000E1010110E 01010D1311110F
    00000E111F100E 0609081C080808 000F11110F010E 10101619111111 04000C0404040E 0200060202120C
    10101214181412 0C04040404040E 00001A15151111 00001619111111 00000E1111110E 00001E111E1010
    00000D130F0101 00001619101010 00000E100E011E 08081C08080906 0000111111130D 00001111110A04
    0000111115150A 0000110A040A11 000011110F010E 00001F0204081F 0E11131519110E 040C040404040E
    0E11010204081F 1F02040201110E 02060A121F0202 1F101E0101110E 0608101E11110E 1F010204080808
    0E11110E11110E 0E11110F01020C 00000000000C0C 000000000C0408 0000001F000000 0004041F040400
    00001F001F0000 02040808080402 08040202020408 000C0C000C0C00 00010204081000 0000000000001F
    04041F0404001F 00000000000000""".split(),
))


class Canvas:
    """A picture of three bytes a pixel."""

    def __init__(self):
        self.rows = [bytearray(WHITE * WIDTH) for _ in range(HEIGHT)]

    def box(self, x0, y0, x1, y1, colour):
        """Fill a rectangle, both corners included, cut at the picture's edge."""
        x0, x1 = max(0, int(min(x0, x1))), min(WIDTH - 1, int(max(x0, x1)))
        y0, y1 = max(0, int(min(y0, y1))), min(HEIGHT - 1, int(max(y0, y1)))
        for row in self.rows[y0:y1 + 1]:
            row[3 * x0:3 * (x1 + 1)] = bytes(colour) * max(0, x1 - x0 + 1)

    def bar(self, x0, y0, x1, y1, index):
        """A box in a run's colour; white lines tell runs apart in prints without colour."""
        x0, y0, x1, y1 = map(int, (x0, y0, x1, y1))
        self.box(x0, y0, x1, y1, COLOURS[index % len(COLOURS)])
        across, along = LINES[index % len(LINES)]
        for y in range(y1 - across, y0, -across) if across else ():
            self.box(x0, y, x1, y + 1, WHITE)
        for x in range(x0 + along, x1, along) if along else ():
            self.box(x, y0, x + 1, y1, WHITE)

    def text(self, x, y, text, colour=BLACK, size=3, align="left", upright=False):
        """Write text; x, y is its top left corner, or the bottom left one when upright."""
        length = len(text) * 6 * size - size
        shift = {"left": 0, "middle": length // 2, "right": length}[align]
        for i, letter in enumerate(text):
            glyph = FONT.get(letter, FONT["_"])
            for r in range(7):
                bits = int(glyph[2 * r:2 * r + 2], 16)
                for c in range(5):
                    if bits >> (4 - c) & 1:
                        along, across = (6 * i + c) * size - shift, r * size
                        px, py = (x + across, y - along - size + 1) if upright else (x + along, y + across)
                        self.box(px, py, px + size - 1, py + size - 1, colour)

    def save(self, path):
        def chunk(kind, data):
            body = kind + data
            return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

        raw = b"".join(b"\0" + bytes(row) for row in self.rows)
        with open(path, "wb") as out:
            out.write(b"\x89PNG\r\n\x1a\n")
            out.write(chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)))
            out.write(chunk(b"pHYs", struct.pack(">IIB", 7874, 7874, 1)))  # 200 dots per inch
            out.write(chunk(b"IDAT", zlib.compress(raw, 9)))
            out.write(chunk(b"IEND", b""))


def read_json(path):
    with open(path, encoding="utf-8") as source:
        return json.load(source)


def load_runs():
    """Return a list of (label, final_info), in order of the run's number."""
    labels = read_json("labels.json") if os.path.exists("labels.json") else {}
    names = [name for name in os.listdir(".") if re.fullmatch(r"run_\d+", name)]
    runs = []
    for name in sorted(names, key=lambda name: int(name[4:])):
        path = os.path.join(name, "final_info.json")
        if not os.path.exists(path) or (labels and name not in labels):
            continue
        default = "run 0 (baseline)" if name == "run_0" else "run " + name[4:]
        runs.append((labels.get(name, default)[:LONGEST], read_json(path)))
    return runs


def tick_step(top):
    """The smallest round step that makes at most eight ticks up to top."""
    step = 0.001
    while True:
        for factor in (1, 2, 5):
            if top / (step * factor) <= 8:
                return step * factor
        step *= 10


def draw_axes(canvas, top, edge):
    """Axes up to a value, which lies at a height of the picture; returns the height of any value."""
    def height(value):
        return BOTTOM - (BOTTOM - edge) * value / top

    step = tick_step(top)
    ticks = 0
    while ticks * step <= top:
        value = ticks * step
        y = int(height(value))
        canvas.box(LEFT, y, RIGHT, y, LIGHT)
        canvas.text(LEFT - 14, y - 10, "%.3g" % value, align="right")
        ticks += 1
    canvas.box(LEFT - 2, edge, LEFT, BOTTOM, BLACK)
    canvas.box(LEFT - 2, BOTTOM, RIGHT, BOTTOM + 2, BLACK)
    canvas.text(20, (edge + BOTTOM) // 2, "test error (share of points)", align="middle", upright=True)
    canvas.text((LEFT + RIGHT) // 2, BOTTOM + 70, "dataset", align="middle")
    return height


def draw_legend(canvas, runs, seeds):
    """Returns the height at which it ends."""
    x, y = LEFT, 20
    for index, (label, _) in enumerate(runs):
        width = 40 + 18 * len(label) + 36
        if x + width > RIGHT and x > LEFT:
            x, y = LEFT, y + 34
        canvas.bar(x, y, x + 26, y + 20, index)
        canvas.text(x + 38, y, label)
        x += width
    canvas.text(LEFT, y + 36, "mean of %d seeds ± 1 standard error, lower is better" % seeds, GREY, size=2)
    return y + 60


def plot_error(runs, path):
    datasets = [d for d in runs[0][1] if all("test_error" in info.get(d, {}).get("means", {}) for _, info in runs)]
    bars = [[(info[d]["means"]["test_error"], info[d]["stderrs"]["test_error"]) for _, info in runs] for d in datasets]
    canvas = Canvas()
    seeds = len(runs[0][1][datasets[0]]["final_info_dict"]["test_error"])
    edge = max(150, draw_legend(canvas, runs, seeds) + 30)
    height = draw_axes(canvas, 1.08 * max(mean + error for group in bars for mean, error in group), edge)
    room = (RIGHT - LEFT) / len(datasets)
    width = 0.76 * room / len(runs)
    for g, (dataset, group) in enumerate(zip(datasets, bars)):
        for index, (mean, error) in enumerate(group):
            x = LEFT + g * room + 0.12 * room + index * width
            canvas.bar(x, height(mean), x + width - 6, BOTTOM - 1, index)
            middle, cap = x + width / 2 - 3, min(14, width / 4)
            low, high = height(max(0, mean - error)), height(mean + error)
            canvas.box(middle - 1, low, middle + 1, high, BLACK)
            for end in (low, high):
                canvas.box(middle - cap, end - 1, middle + cap, end + 1, BLACK)
        canvas.text(int(LEFT + (g + 0.5) * room), BOTTOM + 22, dataset.replace("_", " "), align="middle")
    canvas.save(path)


def main():
    runs = load_runs()
    if not runs:
        raise SystemExit("no run_* folder with results: run experiment.py --out_dir=run_0 first")
    plot_error(runs, "test_error.png")


if __name__ == "__main__":
    main()
