"""Mangled deliveries without end, guided by the branches that they reach (libFuzzer, by atheris).

Three targets in turn: the pure rooms, with bodies that are signed so that they get past the first
door; the HTTP edge, with whatever bytes on a real socket; and whole histories, which Hypothesis
makes up. Anything but a defined answer ends the run, with the input that did it. Where each begins
is in corpus.json: inputs that reached something new, as text in Latin-1.
"""

import hashlib
import hmac
import importlib.util
import json
import logging
import multiprocessing
import re
import socket
import subprocess
import sys
import tempfile
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from lib.local.standins.process import PartMissing
from lib.local.trials.histories import run as histories

TARGETS = ("rooms", "edge", "histories")
SECRET = b"whsec-fuzz"
NOW = 1_767_616_500
CORPUS = Path(__file__).with_name("corpus.json")
LONGEST = 1000
"""Bytes of an input that is kept in the corpus."""
_FIGURES = ("number_of_executed_units", "new_units_added", "histories played")


def run(target: str | None, seconds: int, *, keep: bool = False) -> int:
    """Fuzz one target, or each for its share of the time. Raises PartMissing or NotStarted.

    With `keep`, what one target found goes into the corpus.
    """
    if target == "histories":
        print(f"  histories played {histories.run(seconds)}")
        return 0
    require()
    if target:
        return _fuzz(target, seconds, keep=keep)
    share = max(1, seconds // len(TARGETS))
    for each in TARGETS:
        print(f"{each}: {share} s", flush=True)
        command = [sys.executable, "-m", "lib.local", "fuzz", "--target", each]
        command += ["--seconds", str(share)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = re.findall(r"(\w+(?: \w+)*):? +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
        figures = [f"{name.replace('_', ' ')} {value}" for name, value in said if name in _FIGURES]
        print("  " + ", ".join(figures))
        if done.returncode:
            print(done.stdout + done.stderr)
            return 1
    return 0


def require() -> None:
    if importlib.util.find_spec("atheris") is None:
        raise PartMissing("No atheris here; it comes ready built for Linux on x86-64")


def _fuzz(target: str, seconds: int, *, keep: bool) -> int:
    corpus: dict[str, list[str]] = json.loads(CORPUS.read_text())
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        for number, text in enumerate(corpus[target]):
            (Path(folder) / str(number)).write_bytes(text.encode("latin-1"))
        child = multiprocessing.get_context("fork").Process(
            target=_guided, args=(target, seconds, folder)
        )
        child.start()
        child.join()
        found = {path.read_bytes().decode("latin-1") for path in Path(folder).iterdir()}
    if keep:
        corpus[target] = sorted(
            (text for text in found if len(text) <= LONGEST), key=lambda text: (len(text), text)
        )
        CORPUS.write_text(json.dumps(corpus, indent=1) + "\n")
    return child.exitcode or 0


def _guided(target: str, seconds: int, folder: str) -> None:
    """Ends the process."""
    import atheris  # noqa: PLC0415 - takes its time, and is not everywhere

    with atheris.instrument_imports(include=["api", "lib", "json", "http"]):
        import api.modelriver  # noqa: PLC0415
        import lib.webhook  # noqa: F401, PLC0415

    logging.disable()  # a line for each input would be too many
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    body = _rooms if target == "rooms" else partial(_edge, api.modelriver.handler)
    atheris.Setup([sys.argv[0], *options, folder], body)
    atheris.Fuzz()


def _rooms(data: bytes) -> None:
    """A body, signed in the way that its first byte says; what becomes a row must be storable."""
    from lib import content, errors, event, jsontext, signature  # noqa: PLC0415

    choice, body = data[:1], data[1:]
    headers = {"x-modelriver-timestamp": str(NOW)}
    if choice == b"0":
        headers["mr-signature"] = _hmac(body)
    else:
        span = jsontext.find_member(body, "data") if choice == b"2" else None
        covered = body[span] if span else body
        headers["x-modelriver-signature"] = _hmac(f"{NOW}.".encode() + covered)
    try:
        found = event.read(signature.verify(body, headers, [SECRET], NOW), headers)
    except (errors.InvalidBody, errors.InvalidSignature):
        return
    if found is not None:
        row = content.to_row(found)
        for text in (row.title, row.body, row.category, row.channel_id, row.ai_data):
            text.encode()  # raises on a lone surrogate
            if "\0" in text:
                raise AssertionError(text)
        jsontext.parse(row.ai_data.encode())
        jsontext.parse(row.metadata.encode())


def _edge(handler: type[BaseHTTPRequestHandler], data: bytes) -> None:
    """Bytes on a real socket; a POST must get one of the answers that there are."""
    client, server = socket.socketpair()
    with client, server:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        handler(server, ("127.0.0.1", 0), None)  # type: ignore[arg-type]
        server.shutdown(socket.SHUT_WR)
        answer = client.recv(65536)
    if data.startswith(b"POST / HTTP/1.1\r\n") and b"\r\n\r\n" in data:
        status = int(answer.split(b" ")[1])
        if status not in {400, 408, 411, 413, 414, 431, 500}:  # 500: it has no settings
            raise AssertionError(answer)


def _hmac(message: bytes) -> str:
    return hmac.new(SECRET, message, hashlib.sha256).hexdigest()
