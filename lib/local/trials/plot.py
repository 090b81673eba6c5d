"""The picture of the bench that the README shows, for light and for dark pages."""

from collections.abc import Mapping, Sequence

from lib.jsontext import Json
from lib.local.project import ROOT

FOLDER = ROOT / ".github"
PALETTES = {
    "light": {
        "ink": "#1d2421",
        "soft": "#5d6863",
        "ours": "#0a8a69",
        "on ours": "#fff",
        "other": "#ccd1c9",
        "on other": "#1d2421",
    },
    "dark": {
        "ink": "#e9ede9",
        "soft": "#98a39d",
        "ours": "#3fd0a5",
        "on ours": "#0b1310",
        "other": "#424c46",
        "on other": "#e9ede9",
    },
}
WIDTH, LEFT, TOP, ROW, BAR = 820, 236, 76, 48, 17
SCALE_TO = 2.5
"""Times the floor; a longer bar is cut, and its figure told."""


def draw(rows: Mapping[str, Sequence[float]], circumstances: Mapping[str, Json]) -> None:
    """Write `.github/bench-light.svg` and `.github/bench-dark.svg`.

    `rows` has for each figure what ours and the straightforward version need, as ratios to the
    floor.
    """
    for name, palette in PALETTES.items():
        (FOLDER / f"bench-{name}.svg").write_text(_svg(palette, rows, circumstances))


def _svg(
    palette: Mapping[str, str],
    rows: Mapping[str, Sequence[float]],
    circumstances: Mapping[str, Json],
) -> str:
    height = TOP + ROW * len(rows) + 30
    floor = _x(1.0)
    words = "{date} · {cores} cores · Python {python} · medians of {rounds} rounds · make bench"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        ' aria-label="What a delivery needs, as a ratio to the same job stripped bare"'
        ' font-size="13" font-family="ui-sans-serif, system-ui, -apple-system, sans-serif">',
        _text(0, 19, "Times what the bare job needs", palette["ink"], "start", bold=True),
        *_legend(palette),
        f'<path d="M{floor} {TOP - 12}V{height - 30}" stroke="{palette["soft"]}"'
        ' stroke-dasharray="3 3"/>',
        _text(floor, TOP - 18, "1.0", palette["soft"], "middle"),
    ]
    for number, (title, ratios) in enumerate(rows.items()):
        top = TOP + ROW * number
        parts.append(_text(LEFT - 14, top + BAR + 5, title, palette["ink"], "end"))
        for place, (kind, ratio) in enumerate(zip(("ours", "other"), ratios, strict=True)):
            parts += _bar(palette, kind, ratio, top + place * (BAR + 2))
    parts.append(_text(0, height - 6, words.format(**circumstances), palette["soft"], "start"))
    return "\n".join([*parts, "</svg>\n"])


def _bar(palette: Mapping[str, str], kind: str, ratio: float, y: float) -> list[str]:
    end = _x(min(ratio, SCALE_TO))
    figure = f"{ratio:.2f}" if ratio <= SCALE_TO else f"{ratio:.1f} →"
    return [
        f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" rx="2"'
        f' fill="{palette[kind]}"/>',
        _text(end - 7, y + BAR - 4, figure, palette[f"on {kind}"], "end"),
    ]


def _legend(palette: Mapping[str, str]) -> list[str]:
    parts = []
    for x, kind, label in (
        (410, "ours", "this function"),
        (540, "other", "connect and requests.post each time"),
    ):
        parts.append(f'<rect x="{x}" y="8" width="13" height="13" rx="2" fill="{palette[kind]}"/>')
        parts.append(_text(x + 20, 19, label, palette["soft"], "start"))
    return parts


def _x(ratio: float) -> float:
    return LEFT + (WIDTH - LEFT) * ratio / SCALE_TO


def _text(x: float, y: float, content: str, colour: str, anchor: str, *, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    style = f'fill="{colour}" text-anchor="{anchor}"{weight}'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{content}</text>'
