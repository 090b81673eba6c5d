"""What must be so, whatever happened."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from psycopg.rows import DictRow

from lib.local.trials.histories.destination import FINAL, Callback, Key


@dataclass(slots=True)
class Model:
    """What a sender knows, and what must be so because of it."""

    stored: set[Key] = field(default_factory=set)
    """Of these an AI result was acknowledged that the table takes."""
    told: set[Key] = field(default_factory=set)
    """Of these one was acknowledged that it does not."""

    def broken(self, rows: Sequence[DictRow], callbacks: Iterable[Callback]) -> list[str]:
        """All that is not as it must be."""
        row_of = {(row["channel_id"], row["event"]): row for row in rows}
        known, taken, refused = set[Key](), set[Key](), set[Key]()
        faults = []
        for each in callbacks:
            if each.status in FINAL:
                known.add(each.key)
            if each.data and each.status in FINAL:
                (taken if each.status == 200 else refused).add(each.key)
            if each.data and not _carries(each, row_of.get(each.key)):
                faults.append(f"called back with what is not the row: {each}")
        if len(row_of) < len(rows):
            faults.append("two rows of one channel and event")
        for key, row in row_of.items():
            if row["called_back"] and key not in taken:
                faults.append(f"called_back_at, and no callback was taken: {key}")
            if (row["callback_error"] or "").startswith("callback_refused") and key not in refused:
                faults.append(f"noted as refused, and no callback was: {key}")
        faults += [f"acknowledged, and lost: {key}" for key in self.stored - row_of.keys()]
        unknown = (self.stored | self.told) - known
        return faults + [f"acknowledged, and ModelRiver does not know: {key}" for key in unknown]


def _carries(callback: Callback, row: DictRow | None) -> bool:
    return row is not None and callback.data == {
        **row["ai_data"],
        "id": row["id"],
        "saved_at": row["saved_at"],
    }
