"""Loss and accuracy curves of all runs as SVG, drawn from the CSV files that training writes.

    python curves.py runs ../curves
"""
import csv
import pathlib
import sys

COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#17becf", "#7f7f7f", "#bcbd22", "#e377c2", "#000000"]


def read(path):
    with open(path) as f:
        return [{k: float(x) if x else None for k, x in row.items()} for row in csv.DictReader(f)]


def draw(rows, columns, title, top):
    width, height, left, low = 760, 300, 50, 260
    most = max(r["tokens"] for r in rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/><text x="{left}" y="15">{title}</text>']
    for part in range(5):
        y = low - part / 4 * (low - 25)
        out.append(f'<line x1="{left}" x2="600" y1="{y:.0f}" y2="{y:.0f}" stroke="#ddd"/>'
                   f'<text x="8" y="{y + 4:.0f}">{top * part / 4:.2f}</text>')
    out.append(f'<text x="{left}" y="285">0</text><text x="520" y="285">{most / 1e6:.1f}M tokens</text>')
    for n, column in enumerate(columns):
        points = " ".join(f"{left + r['tokens'] / most * 550:.1f},{low - min(top, r[column]) / top * (low - 25):.1f}"
                          for r in rows if r.get(column) is not None)
        colour = COLOURS[n % len(COLOURS)]
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
                   f'<text x="610" y="{30 + 16 * n}" fill="{colour}">{column}</text>')
    return "\n".join(out + ["</svg>\n"])


def main():
    runs, to = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    to.mkdir(exist_ok=True)
    for path in sorted(runs.glob("*.csv")):
        rows = read(path)
        held_out = ["k2", "k5", "k10", "k40", "two", "two last", "two apart", "yes", "no", "ABCD", "cap"]
        losses = ["loss open", "loss two", "loss context", "loss yesno", "loss letters", "loss pronoun", "loss trait",
                  "loss fact", "loss rating"]
        (to / f"{path.stem}-accuracy.svg").write_text(draw(rows, held_out, f"{path.stem}: held-out accuracy (quick look)", 1.0))
        (to / f"{path.stem}-loss.svg").write_text(draw(rows, losses, f"{path.stem}: training loss", 4.0))
        (to / path.name).write_text(path.read_text())
        print(path.stem, len(rows), "points")


if __name__ == "__main__":
    main()
