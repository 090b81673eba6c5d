"""The pooled connection string as Neon hands it out: TLS, the host's name, SCRAM bound to both."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from lib.local.commands import schema
from lib.local.standins import tls
from lib.local.standins.deliveries import MOVIE
from lib.local.standins.modelriver import ModelRiver, Reply
from lib.local.standins.neon import Neon
from lib.local.standins.neon_proxy import Branch
from lib.local.standins.vercel import Vercel
from lib.local.until import until


@pytest.fixture
def branch(neon: Neon) -> Iterator[Branch]:
    made = Branch("of-a-test", neon.main.id)
    neon.add(made)
    schema.apply(f"{neon.url(made)}&hostaddr=127.0.0.1")
    yield made
    neon.remove(made)


def serve(modelriver: ModelRiver, url: str) -> Vercel:
    # The stand-in's hosts have no address of their own.
    return Vercel({**modelriver.settings, "DATABASE_URL": f"{url}&hostaddr=127.0.0.1"})


def deliver(modelriver: ModelRiver, vercel: Vercel) -> Reply:
    return modelriver.deliver(vercel.url, modelriver.sign(modelriver.event(MOVIE)))


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_the_string_as_it_is_handed_out(
    neon: Neon, branch: Branch, modelriver: ModelRiver, negotiation: str
) -> None:
    url = neon.url(branch, pooled=True)
    assert url.endswith("?sslmode=require&channel_binding=require")
    with serve(modelriver, f"{url}&sslnegotiation={negotiation}") as vercel:
        assert deliver(modelriver, vercel).status == 200


def test_a_certificate_is_demanded_where_the_string_says_so(
    neon: Neon, branch: Branch, modelriver: ModelRiver, tmp_path: Path
) -> None:
    url = neon.url(branch, pooled=True).replace("sslmode=require", "sslmode=verify-full")
    right = neon.proxy.authority.write(tmp_path / "right.pem")
    wrong = tls.Authority().write(tmp_path / "wrong.pem")
    reasons = {
        wrong: "certificate verify failed",
        tmp_path / "none.pem": "root certificate",
    }
    with serve(modelriver, f"{url}&sslrootcert={right}") as vercel:
        assert deliver(modelriver, vercel).status == 200
    with ExitStack() as served, ThreadPoolExecutor() as threads:
        functions = [
            served.enter_context(serve(modelriver, f"{url}&sslrootcert={bundle}"))
            for bundle in reasons
        ]
        replies = threads.map(lambda each: deliver(modelriver, each), functions)
        assert [reply.status for reply in replies] == [503, 503]
        for vercel, reason in zip(functions, reasons.values(), strict=True):
            assert until(lambda: reason in "".join(vercel.log)), vercel.log  # noqa: B023


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("npg_", "npg-"), "password authentication failed"),
        (("@ep-", "@no-"), "endpoint could not be found"),
        (
            ("sslmode=require&channel_binding=require", "sslmode=disable"),
            "connection is insecure",
        ),
    ],
)
def test_what_neon_refuses_is_said_in_words(
    neon: Neon, branch: Branch, modelriver: ModelRiver, change: tuple[str, str], reason: str
) -> None:
    with serve(modelriver, neon.url(branch, pooled=True).replace(*change)) as vercel:
        assert deliver(modelriver, vercel).status == 503
        assert until(lambda: reason in "".join(vercel.log)), vercel.log


def test_connections_that_are_cut_in_tls(
    neon: Neon, branch: Branch, modelriver: ModelRiver
) -> None:
    """As by scale to zero: the next delivery wakes the compute, and succeeds at once."""
    with serve(modelriver, neon.url(branch, pooled=True)) as vercel:
        for _ in range(3):
            assert deliver(modelriver, vercel).status == 200
            branch.suspend()
