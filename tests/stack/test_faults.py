"""What must hold while things break: waits end, instances recover, crashes lose nothing."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from lib.callback import MAX_CONCURRENT
from lib.database import MAX_CONNECTIONS
from lib.jsontext import Json
from lib.local.standins.modelriver import ModelRiver, Reply, Treatment
from lib.local.standins.pgbouncer import PgBouncer
from lib.local.standins.postgres import Postgres
from lib.local.standins.proxy import Proxy
from lib.local.standins.redelivery import CALLBACK_WINDOW, SCHEDULE, Redelivery
from lib.local.standins.stack import Stack
from lib.local.standins.vercel import Vercel
from lib.local.trials import load
from lib.local.trials.chaos import Chaos
from lib.local.until import until
from tests.support import assert_nothing_is_told, new_channel

MOVIE: Json = {"title": "Inception"}
SPARE_THREADS = 4
"""Fewer than the deliveries of any fault, each of which would leave one behind if it leaked."""


@dataclass(frozen=True)
class OwnStack:
    """A stack of its own, to be broken."""

    modelriver: ModelRiver
    vercel: Vercel
    postgres: Postgres
    pgbouncer: PgBouncer
    to_database: Proxy
    to_callback: Proxy

    def deliver(self, channel_id: str = "", **members: Json) -> Reply:
        payload = self.modelriver.event(MOVIE, channel_id=channel_id or new_channel(), **members)
        return self.modelriver.deliver(self.vercel.url, self.modelriver.sign(payload))

    def deliver_many(self, count: int) -> list[Reply]:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(lambda _: self.deliver(), range(count)))

    def rows(self, channel_id: str) -> list[tuple[str, bool]]:
        """Id, and whether it was called back."""
        query = "SELECT id::text, called_back_at IS NOT NULL FROM ai_content WHERE channel_id = %s"
        with psycopg.connect(self.postgres.url()) as connection:
            return connection.execute(query, [channel_id]).fetchall()

    def threads(self) -> int:
        return load.threads(self.vercel.pid)

    def leaks(self, threads_before: int) -> list[str]:
        """What the function's process has more of than it may keep."""
        peers = load.peers(self.vercel.pid)
        counted = {
            "threads": (self.threads(), threads_before + SPARE_THREADS),
            "connections to the database": (peers[self.to_database.port], MAX_CONNECTIONS),
            # One is opened ahead, and one by a callback that could not wait for that.
            "connections to the callback host": (peers[self.to_callback.port], 2),
        }
        return [f"{now} {what}" for what, (now, most) in counted.items() if now > most]


def fill_pools(own: OwnStack) -> None:
    """Bring up every thread that is kept, so that one that comes later is one too many."""
    all_under_way = threading.Barrier(MAX_CONCURRENT, timeout=20)
    unhindered = own.modelriver.on_callback

    def wait_for_all(_: str) -> None:
        all_under_way.wait()

    own.modelriver.on_callback = wait_for_all
    assert {reply.status for reply in own.deliver_many(MAX_CONCURRENT)} == {200}
    own.modelriver.on_callback = unhindered


@pytest.fixture(scope="module")
def own(pgbouncer: PgBouncer) -> Iterator[OwnStack]:
    """The session's PgBouncer is asked for only to skip where there is none."""
    with Stack(server_connections=4) as parts:
        modelriver, postgres = parts.modelriver, parts.postgres
        to_database = parts.enter_context(Proxy(parts.pgbouncer.port))
        to_callback = parts.enter_context(Proxy(modelriver.port))
        vercel = parts.serve(
            MODELRIVER_CALLBACK_ORIGINS=f"{modelriver.origin} http://127.0.0.1:{to_callback.port}",
            DATABASE_URL=f"postgresql://postgres@127.0.0.1:{to_database.port}/postgres",
        )
        own = OwnStack(modelriver, vercel, postgres, parts.pgbouncer, to_database, to_callback)
        fill_pools(own)
        yield own
        assert_nothing_is_told(vercel, modelriver)


@dataclass(frozen=True)
class Fault:
    name: str
    begin: Callable[[OwnStack], None]
    end: Callable[[OwnStack], None]


FAULTS = [
    Fault(
        "Postgres down behind PgBouncer", lambda r: r.postgres.stop(), lambda r: r.postgres.start()
    ),
    Fault("Postgres frozen", lambda r: r.postgres.freeze(), lambda r: r.postgres.thaw()),
    Fault("PgBouncer down", lambda r: r.pgbouncer.stop(), lambda r: r.pgbouncer.start()),
    Fault("PgBouncer frozen", lambda r: r.pgbouncer.freeze(), lambda r: r.pgbouncer.thaw()),
    Fault("packets swallowed", lambda r: r.to_database.swallow(), lambda r: r.to_database.flow()),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_database_fault_ends_in_a_503_and_leaves_nothing_behind(
    own: OwnStack, fault: Fault
) -> None:
    assert {reply.status for reply in own.deliver_many(48)} == {200}, own.vercel.log[-48:]
    threads = own.threads()
    fault.begin(own)
    try:
        replies = own.deliver_many(8)
    finally:
        fault.end(own)
    assert {reply.status for reply in replies} == {503}
    assert max(reply.seconds for reply in replies) < 25
    assert until(lambda: own.deliver().status == 200), own.vercel.log[-5:]
    assert {reply.status for reply in own.deliver_many(12)} == {200}, own.vercel.log[-12:]
    assert until(lambda: own.leaks(threads) == []), own.leaks(threads)


def test_nobody_waits_for_the_note(own: OwnStack) -> None:
    channel_id = new_channel()
    own.modelriver.on_callback = lambda _: own.to_database.swallow()
    try:
        assert own.deliver(channel_id).status == 200
        assert [called_back for _, called_back in own.rows(channel_id)] == [False]
    finally:
        own.modelriver.on_callback = lambda _: None
        own.to_database.flow()
    assert until(lambda: own.rows(channel_id)[0][1])


def test_a_callback_host_that_says_nothing(own: OwnStack) -> None:
    channel_id = new_channel()
    url = f"http://127.0.0.1:{own.to_callback.port}/v1/callback/{channel_id}"
    assert own.deliver(callback_url=f"{url}-first").status == 200
    assert {reply.status for reply in own.deliver_many(48)} == {200}
    threads = own.threads()
    own.to_callback.swallow()
    try:
        reply = own.deliver(channel_id, callback_url=url)
        assert reply.status == 503
        assert reply.seconds < 25
        assert own.deliver().status == 200
    finally:
        own.to_callback.flow()
    assert own.deliver(channel_id, callback_url=url).status == 200
    ((record_id, _),) = own.rows(channel_id)
    task_ids = {each.content["task_id"] for each in own.modelriver.callbacks_for(channel_id)}
    assert task_ids == {f"neon_{record_id}"}
    assert until(lambda: own.leaks(threads) == []), own.leaks(threads)


class Resolver:
    """A name server on port 53 that says nothing until it is told to."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.address = (
            f"127.0.{os.getpid() % 250}.{os.getpid() % 241 + 2}"  # another run's is taken
        )
        self.socket.bind((self.address, 53))
        self.answers = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                query, client = self.socket.recvfrom(512)
                if self.answers:
                    wants_ipv4 = query[-4:-2] == b"\0\1"
                    head = query[:2] + b"\x81\x80\0\1" + (b"\0\1" if wants_ipv4 else b"\0\0")
                    address = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\x7f\0\0\1" if wants_ipv4 else b""
                    question = query[12 : query.index(b"\0", 12) + 5]
                    self.socket.sendto(head + b"\0" * 4 + question + address, client)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may be a name server")
def test_names_that_nobody_looks_up(own: OwnStack, tmp_path: Path) -> None:
    """The function gets a resolv.conf of its own, which names a server that says nothing."""
    resolver = Resolver()
    (tmp_path / "resolv.conf").write_text(f"nameserver {resolver.address}\n")
    another = own.to_callback
    origins = [
        f"http://modelriver.test:{own.modelriver.port}",
        f"http://another.test:{another.port}",
    ]
    settings = {
        **own.modelriver.settings,
        "MODELRIVER_CALLBACK_ORIGINS": " ".join(origins),
        "DATABASE_URL": f"postgresql://postgres@neon.test:{own.pgbouncer.port}/postgres",
    }
    mount = f'mount --bind {tmp_path}/resolv.conf /etc/resolv.conf && exec "$@"'
    with Vercel(settings, prefix=["unshare", "-m", "sh", "-c", mount, "sh"]) as vercel:

        def deliver(channel_id: str, origin: str) -> Reply:
            url = f"{origin}/v1/callback/{channel_id}"
            payload = own.modelriver.event(MOVIE, channel_id=channel_id, callback_url=url)
            return own.modelriver.deliver(vercel.url, own.modelriver.sign(payload))

        first, second = new_channel(), new_channel()
        reply = deliver(first, origins[0])
        assert (reply.status, own.rows(first)) == (503, [])
        assert reply.seconds < 25
        resolver.answers = True
        assert until(lambda: deliver(first, origins[0]).status == 200)

        another.cut()  # what was opened ahead
        resolver.answers = False  # the database's connection is kept; the other name is not known
        reply = deliver(second, origins[1])
        assert (reply.status, len(own.rows(second))) == (503, 1)
        assert reply.seconds < 25
        assert deliver(new_channel(), origins[0]).status == 200
        resolver.answers = True
        assert until(lambda: deliver(second, origins[1]).status == 200)
        assert len(own.rows(first)) == len(own.rows(second)) == 1
        assert "failed to resolve host" in "".join(vercel.log)
    resolver.socket.close()


@pytest.mark.parametrize("what", ["Postgres", "PgBouncer", "both"])
def test_all_kept_connections_dead_at_once(own: OwnStack, what: str) -> None:
    """After Neon's scale to zero, each delivery succeeds at its first attempt all the same."""
    assert {reply.status for reply in own.deliver_many(24)} == {200}
    if what != "PgBouncer":
        own.postgres.stop()
        own.postgres.start()
    if what != "Postgres":
        own.pgbouncer.stop()
        own.pgbouncer.start()
    assert [reply.status for reply in own.deliver_many(24)] == [200] * 24


def test_the_person_waiting_is_told_once_and_the_record_is_stored_later(
    own: OwnStack,
) -> None:
    """An outage from the first attempt to beyond the callback window, 100 times as fast."""
    with psycopg.connect(own.postgres.url(), autocommit=True) as connection:
        connection.execute("ALTER TABLE ai_content RENAME TO away")
        try:
            with Redelivery(own.modelriver, [own.vercel], speed=100) as redelivery:
                task = redelivery.send(own.modelriver.event(MOVIE, channel_id=new_channel()))
                assert until(lambda: len(task.attempts) == 4)
                assert until(lambda: redelivery.age(task) > CALLBACK_WINDOW)
                (told,) = own.modelriver.callbacks_for(task.channel_id)
                assert told.content["error"] == "processing_failed"
                assert redelivery.in_window(task, told)
                connection.execute("ALTER TABLE away RENAME TO ai_content")
                assert redelivery.settle(timeout=20)
        finally:
            connection.execute("ALTER TABLE IF EXISTS away RENAME TO ai_content")
    assert task.state == "delivered"
    ((record_id, _),) = own.rows(task.channel_id)
    _, success = own.modelriver.callbacks_for(task.channel_id)
    assert success.content["task_id"] == f"neon_{record_id}"


def test_redelivery_keeps_to_the_published_schedule(own: OwnStack) -> None:
    with Redelivery(own.modelriver, [own.vercel], speed=2000) as redelivery:
        payload = own.modelriver.event(MOVIE, channel_id=new_channel())
        own.modelriver.planned[str(payload["channel_id"])].extend([Treatment(status=401)] * 8)
        task = redelivery.send(payload)
        assert redelivery.settle(timeout=30)
        assert task.state.startswith("dead")
        assert [attempt.reply.status for attempt in task.attempts] == [503] * 8
        for attempt, due in zip(task.attempts, SCHEDULE, strict=True):
            assert attempt.at >= due
        redelivery.retry(task)
        assert redelivery.settle(timeout=30)
    assert task.state == "delivered"
    assert len(own.rows(task.channel_id)) == 1


STEPS = ["before insert", "after insert", "during callback", "after callback", "before note"]


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step(own: OwnStack, step: str) -> None:
    """After redelivery there is one row, and every callback carries its id."""
    channel_id = new_channel()
    url = f"http://127.0.0.1:{own.to_callback.port}/v1/callback/{channel_id}"
    payload = own.modelriver.event(MOVIE, channel_id=channel_id, callback_url=url)
    delivery = own.modelriver.sign(payload)
    taken = threading.Event()
    blocker = psycopg.connect(own.postgres.url())

    def on_callback(_: str) -> None:
        if step == "before note":
            blocker.execute("LOCK TABLE ai_content")
        taken.set()

    own.modelriver.on_callback = on_callback
    if step == "before insert":
        blocker.execute("LOCK TABLE ai_content")
    elif step == "after insert":
        own.to_callback.swallow()
    elif step == "during callback":
        own.modelriver.planned[channel_id].append(Treatment(delay=5))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(own.modelriver.deliver, own.vercel.url, delivery)
        if step == "before insert":
            assert until(lambda: waits_for_a_lock(own))
        elif step == "after insert":
            assert until(lambda: len(own.rows(channel_id)) == 1)
        else:
            assert taken.wait(10)
        if step == "before note":
            assert first.result().status == 200
            assert until(lambda: waits_for_a_lock(own))
        own.vercel.kill()
        assert first.result().status == (200 if step == "before note" else 0) or (
            step == "after callback"
        )
    blocker.close()
    own.modelriver.on_callback = lambda _: None
    own.to_callback.flow()
    own.vercel.start()

    assert until(lambda: own.modelriver.deliver(own.vercel.url, delivery).status == 200)
    assert until(lambda: [called_back for _, called_back in own.rows(channel_id)] == [True])
    ((record_id, _),) = own.rows(channel_id)
    callbacks = own.modelriver.callbacks_for(channel_id)
    assert callbacks
    assert {each.content["task_id"] for each in callbacks} == {f"neon_{record_id}"}


def waits_for_a_lock(own: OwnStack) -> bool:
    query = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with psycopg.connect(own.postgres.url()) as connection:
        return len(connection.execute(query).fetchall()) > 0


def test_overload_is_answered_honestly(own: OwnStack) -> None:
    """Many more at once than there are connections, while the database is slow."""
    with psycopg.connect(own.postgres.url()) as blocker:
        blocker.execute("LOCK TABLE ai_content")
        with ThreadPoolExecutor(200) as threads:
            replies = list(threads.map(lambda _: own.deliver(), range(200)))
    assert {reply.status for reply in replies} == {503}
    assert max(reply.seconds for reply in replies) < 25
    assert all(reply.json == {"error": "Database unavailable"} for reply in replies)
    assert {reply.status for reply in own.deliver_many(24)} == {200}


def test_a_short_chaos_breaks_no_promise(pgbouncer: PgBouncer) -> None:
    chaos = Chaos(seed=7, seconds=12, rate=40)
    verdict = chaos.run()
    assert {fault: count for fault, count in verdict.broken.items() if count} == {}
    assert chaos.done
