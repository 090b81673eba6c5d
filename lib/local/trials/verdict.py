"""What came of a run of chaos: every delivery, compared with every row and every callback."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from lib.local.standins.modelriver import Callback
from lib.local.standins.redelivery import Attempt, Redelivery, Task

SECRETS = ("whsec-", "mr-key-", "dbsecret", "SENTINEL", "psycopg.", "server closed", "FATAL")
"""What no log line may hold: secrets, AI content, what a database says."""


@dataclass(slots=True)
class Verdict:
    """What came of it all."""

    figures: dict[str, str] = field(default_factory=dict)
    broken: Counter[str] = field(default_factory=Counter)
    """How often what should not happen did; 0 where it did not."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All that a run left behind."""

    tasks: Sequence[Task]
    redelivery: Redelivery
    stored: Mapping[str, Sequence[str]]
    """The ids of each channel's rows."""
    callbacks: Sequence[Callback]
    elsewhere: int
    """Requests to another host than ModelRiver's."""
    log: Sequence[str]
    refused: Set[str]
    """Channels whose callback ModelRiver refuses for good."""
    hostile: Set[str]
    """Channels whose callback_url points elsewhere."""

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for task in self.tasks for attempt in task.attempts]

    def callbacks_by_channel(self) -> defaultdict[str, list[Callback]]:
        found: defaultdict[str, list[Callback]] = defaultdict(list)
        for callback in self.callbacks:
            found[callback.channel_id].append(callback)
        return found


def judge(outcome: Outcome, *, at_real_pace: bool) -> Verdict:
    """Compare, and count. Late callbacks are a fault only `at_real_pace` of ModelRiver's clock."""
    attempts, stored = outcome.attempts, outcome.stored
    acknowledged = {task.channel_id for task in outcome.tasks if task.state == "delivered"}
    told = _told(outcome, acknowledged)
    broken = Counter(
        {
            "acknowledged, but lost": sum(not stored.get(each) for each in acknowledged),
            "stored twice": sum(len(ids) > 1 for ids in stored.values()),
            "never called back": told.pop("never", 0),
            "called back late, at ModelRiver's real pace": told["late"] if at_real_pace else 0,
            "requests to another host": outcome.elsewhere,
            "deliveries that never ended": sum(t.state != "delivered" for t in outcome.tasks),
        }
    )
    broken += _wrong_callbacks(outcome) + _wrong_answers(attempts) + _wrong_lines(outcome.log)
    figures = {
        "AI results": f"{len({task.channel_id for task in outcome.tasks}):,}",
        "deliveries, duplicates among them": f"{len(outcome.tasks):,}",
        "attempts": f"{len(attempts):,}",
        "redeliveries used": f"{len(attempts) - len(outcome.tasks):,}",
        "rows": f"{sum(map(len, stored.values())):,}",
        "lost": str(broken["acknowledged, but lost"]),
        "stored twice": str(broken["stored twice"]),
        **{f"callbacks {when}": f"{count:,}" for when, count in sorted(told.items())},
        "callbacks never, though acknowledged": str(broken["never called back"]),
        "longest wait for an answer": f"{max(each.reply.seconds for each in attempts):.1f} s",
    }
    return Verdict(figures, broken)


def _told(outcome: Outcome, acknowledged: Iterable[str]) -> Counter[str]:
    """What became of the callbacks of AI results that were acknowledged."""
    callbacks = outcome.callbacks_by_channel()
    first = {task.channel_id: task for task in reversed(outcome.tasks)}
    told: Counter[str] = Counter()
    for channel_id in acknowledged:
        taken = [each for each in callbacks[channel_id] if each.answered == 200]
        records = [each for each in taken if "data" in each.content]
        task = first[channel_id]
        if channel_id in outcome.hostile:
            told["none: callback_url elsewhere"] += 1
        elif channel_id in outcome.refused:
            told["refused for good"] += 1
        elif any(outcome.redelivery.in_window(task, each) for each in records):
            told["in the window"] += 1
        else:
            told["late" if records else "never"] += 1
    return told


def _wrong_callbacks(outcome: Outcome) -> Counter[str]:
    callbacks = outcome.callbacks_by_channel()
    return Counter(
        {
            "callbacks with a wrong id": sum(
                each.content.get("task_id", f"neon_{ids[0]}") != f"neon_{ids[0]}"
                for channel_id, ids in outcome.stored.items()
                for each in callbacks[channel_id]
            ),
            "malformed callbacks": sum(bool(each.problems) for each in outcome.callbacks),
        }
    )


def _wrong_answers(attempts: Sequence[Attempt]) -> Counter[str]:
    return Counter(
        {
            "no answer while the process lived": sum(
                each.reply.status == 0 and not each.receiver_died for each in attempts
            ),
            "answers over 25 s": sum(each.reply.seconds > 25 for each in attempts),
            "answers 500": sum(each.reply.status == 500 for each in attempts),
        }
    )


def _wrong_lines(log: Sequence[str]) -> Counter[str]:
    return Counter(
        {
            "log lines that tell a secret": sum(any(s in line for s in SECRETS) for line in log),
            "log lines that are no JSON": sum(not line.startswith("{") for line in log),
        }
    )
