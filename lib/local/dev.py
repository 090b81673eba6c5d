"""The function on this machine, to work on: it starts anew whenever a file changes."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from lib.local import process
from lib.local.build import LOCAL
from lib.local.modelriver import ModelRiver
from lib.local.postgres import Postgres
from lib.local.proxy import Proxy
from lib.local.vercel import PATH, ROOT, Vercel

WATCHED = ("api/*.py", "lib/*.py")


def run(environment: Mapping[str, str], port: int, modelriver_port: int) -> None:
    """Serve until interrupted. Raises RuntimeError where a port is taken.

    With DATABASE_URL in the environment that database is used, a Neon branch say; otherwise an
    embedded one, kept between runs.
    """
    for each in (port, modelriver_port):
        if process.listens(each):
            raise RuntimeError(f"port {each} is taken: stop what listens there, or choose another")
    with ExitStack() as parts:
        database_url = environment.get("DATABASE_URL") or _embedded(parts)
        secret = environment.get("MODELRIVER_WEBHOOK_SECRET", "whsec-local").split()[0]
        modelriver = parts.enter_context(ModelRiver(secret, port=modelriver_port))
        settings = {**modelriver.settings, "DATABASE_URL": database_url}
        vercel = parts.enter_context(Vercel(settings))
        proxy = parts.enter_context(Proxy(vercel.port, listen_on=port))
        url = f"http://127.0.0.1:{port}{PATH}"
        print(f"function   {url}")
        print(f"ModelRiver {modelriver.origin}, a stand-in")
        print("In another terminal:")
        print(f"  export MODELRIVER_WEBHOOK_SECRET={secret}")
        print(f"  export MODELRIVER_CALLBACK_ORIGINS={modelriver.origin}")
        print(f"  make send URL={url}", flush=True)
        _watch(vercel, proxy)


def _watch(vercel: Vercel, proxy: Proxy) -> None:
    shown, state = 0, _state()
    while True:
        time.sleep(0.2)
        lines = vercel.log
        for line in lines[shown:]:
            print(line, flush=True)
        shown = len(lines)
        if (now := _state()) != state:
            state = now
            vercel.stop()
            try:
                vercel.start()
            except RuntimeError as error:  # half-written, perhaps; the next change tells
                print(error, flush=True)
            else:
                proxy.target = vercel.port
                print("started anew", flush=True)


def _state() -> dict[Path, int]:
    files = (path for pattern in WATCHED for path in ROOT.glob(pattern))
    return {path: path.stat().st_mtime_ns for path in files}


def _embedded(parts: ExitStack) -> str:
    # Not below a home that is closed to others: as root, Postgres runs as somebody else.
    folder = LOCAL / "postgres" if os.geteuid() else Path("/var/tmp/modelriver-postgres")
    postgres = parts.enter_context(Postgres(folder))
    postgres.apply_schema()
    return postgres.url()
