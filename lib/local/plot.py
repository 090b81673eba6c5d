"""The picture of the bench that the README shows, for light and for dark pages."""

from collections.abc import Mapping
from pathlib import Path

from lib.jsontext import Json

FOLDER = Path(__file__).parents[2] / ".github"
PALETTES = {
    "light": {"ink": "#1d2421", "soft": "#5d6863", "line": "#dcdfd8", "floor": "#b9bfb6"},
    "dark": {"ink": "#e9ede9", "soft": "#98a39d", "line": "#2b332f", "floor": "#4b5650"},
}
OURS = {"light": "#0a8a69", "dark": "#3fd0a5"}
WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 820, 250, 60, 56, 44, 13
SCALE_TO = 2.5
"""Times the floor; a longer bar is cut, and its figure told."""


def draw(rows: Mapping[str, Mapping[str, float]], circumstances: Mapping[str, Json]) -> None:
    """Write `.github/bench-light.svg` and `.github/bench-dark.svg`.

    `rows` has for each figure what each candidate needs, as a ratio to the floor.
    """
    for name in PALETTES:
        (FOLDER / f"bench-{name}.svg").write_text(_svg(name, rows, circumstances))


def _svg(
    palette: str, rows: Mapping[str, Mapping[str, float]], circumstances: Mapping[str, Json]
) -> str:
    colours = {**PALETTES[palette], "ours": OURS[palette]}
    height = TOP + ROW * len(rows) + 34
    one = _x(1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img"'
        f' aria-label="What ours needs, as a ratio to the floor">',
        "<style>text{font:13px ui-sans-serif,system-ui,-apple-system,'Segoe UI',sans-serif}"
        f".i{{fill:{colours['ink']}}}.s{{fill:{colours['soft']}}}.b{{font-weight:600}}</style>",
        _text(0, 18, "Times what the bare job needs", "i b"),
        _legend(colours),
        f'<path d="M{one} {TOP - 14}V{height - 30}" stroke="{colours["soft"]}"'
        ' stroke-dasharray="3 3"/>',
        _text(one, TOP - 20, "the floor", "s", "middle"),
    ]
    for number, (title, ratios) in enumerate(rows.items()):
        top = TOP + ROW * number
        parts.append(_text(LEFT - 14, top + BAR + 5, title, "i", "end"))
        for place, (kind, ratio) in enumerate(
            (("ours", ratios["ours"]), ("floor", ratios["straightforward"]))
        ):
            y = top + place * (BAR + 3)
            end = _x(min(ratio, SCALE_TO))
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{end - LEFT}" height="{BAR}" rx="2"'
                f' fill="{colours[kind]}"/>'
            )
            figure = f"{ratio:.2f}" if ratio <= SCALE_TO else f"{ratio:.1f} →"
            parts.append(_text(end + 6, y + BAR - 2, figure, "i" if kind == "ours" else "s"))
    words = "{date} · {cores} cores · Python {python} · median of {rounds} rounds · make bench"
    parts.append(_text(0, height - 6, words.format(**circumstances), "s"))
    return "\n".join([*parts, "</svg>\n"])


def _legend(colours: Mapping[str, str]) -> str:
    x = 330
    return "".join(
        f'<rect x="{x + offset}" y="8" width="{BAR}" height="{BAR}" rx="2" fill="{colours[kind]}"/>'
        + _text(x + offset + BAR + 6, 19, label, "s")
        for offset, kind, label in (
            (0, "ours", "ours"),
            (70, "floor", "a connection and requests.post for each delivery"),
        )
    )


def _x(ratio: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * ratio / SCALE_TO


def _text(x: float, y: float, content: str, style: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{content}</text>'
