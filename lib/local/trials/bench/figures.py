"""The bench's figures: what they are called, how they are summed up and shown."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from lib.local.trials.bench.candidates import FLOOR

type Figures = Mapping[str, float]
"""Of one candidate in one round: milliseconds, megabytes and counts, by the figure's name."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How a figure is shown, and the goal for ours: a ratio to the floor, or a figure."""

    title: str
    form: str
    goal: str


type Shown = Mapping[str, Figure]
"""What a table shows, by the figure's name."""

SHOWN: Shown = {
    "p50": Figure("one at a time, median", "{:.2f} ms", "at most 1.15"),
    "p99": Figure("one at a time, 99th percentile", "{:.2f} ms", "at most 1.5"),
    "cpu_one": Figure("CPU a delivery, one at a time", "{:.2f} ms", "at most 1.15"),
    "cpu_many": Figure("CPU a delivery, 16 at once", "{:.2f} ms", "at most 1.15"),
    "throughput": Figure("deliveries a second, 16 at once", "{:.0f}", "at least 0.9"),
    "slowest_many": Figure("slowest of 1,000, 16 at once", "{:.0f} ms", "500 ms"),
    "slowest_burst": Figure("slowest of 64 at once, from idle", "{:.0f} ms", "1,000 ms"),
    "cold": Figure("process start to first 200", "{:.0f} ms", "at most 1.2"),
    "memory": Figure("memory after 1,765 deliveries", "{:.1f} MB", "at most 1.3"),
    "statements": Figure("statements a delivery", "{:.2f}", "2"),
    "database_connections": Figure("new connections to the database, warm", "{:.0f}", "0"),
    "callback_connections": Figure("new connections to ModelRiver, warm", "{:.0f}", "0"),
    "failed": Figure("not answered 200", "{:.0f}", "0"),
}
SHOWN_AWAY: Shown = {
    "warm": Figure("warm, median", "{:.1f} ms", "at most 1.05"),
    "first": Figure("first of a fresh instance", "{:.0f} ms", "at most 1.0"),
    "start": Figure("process start to first 200", "{:.0f} ms", "at most 1.05"),
    "failed": Figure("not answered 200", "{:.0f}", "0"),
}
AT_WORST = {"database_connections", "callback_connections", "failed"}
"""Of these the worst round is shown."""


def medians(rounds: list[Figures], shown: Shown = SHOWN) -> dict[str, float]:
    """The median of each figure; of what should be zero, the most."""
    chosen = {figure: max if figure in AT_WORST else statistics.median for figure in shown}
    return {figure: chosen[figure](each[figure] for each in rounds) for figure in shown}


def ratios(
    rounds: list[Figures], floor: list[Figures], shown: Shown = SHOWN
) -> dict[str, float | None]:
    """The median of each round's ratio, so that a machine that grows slower takes no side."""
    pairs = list(zip(rounds, floor, strict=True))
    return {
        figure: statistics.median(each[figure] / base[figure] for each, base in pairs)
        if all(base[figure] for _, base in pairs)
        else None
        for figure in shown
    }


def print_table(measured: Mapping[str, list[Figures]], shown: Shown = SHOWN) -> None:
    """A line for each figure, a column for each candidate."""
    print(f"{'':<40}" + "".join(f"{name:>22}" for name in measured) + f"{'goal':>14}")
    middle = {name: medians(each, shown) for name, each in measured.items()}
    compared = {name: ratios(each, measured[FLOOR], shown) for name, each in measured.items()}
    for figure, line in shown.items():
        cells = []
        for name, values in middle.items():
            ratio = compared[name][figure]
            cell = line.form.format(values[figure])
            cells.append(cell if name == FLOOR or ratio is None else f"{cell} ({ratio:5.2f})")
        print(f"{line.title:<40}" + "".join(f"{cell:>22}" for cell in cells) + f"{line.goal:>14}")


def print_parts(columns: Mapping[str, Figures]) -> None:
    """A line for each part of what the columns have in common."""
    print(f"{'':<50}" + "".join(f"{name:>10}" for name in columns))
    for part in next(iter(columns.values())):
        print(f"{part:<50}" + "".join(f"{each[part]:>10.0f}" for each in columns.values()))
