"""`make dev`, as far as the console's tests do not stand on it already."""

import os
import signal
import subprocess
import sys

from lib.local.project import ROOT
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import free_port, listens


def test_dev_serves_and_starts_anew_when_a_file_changes(
    postgres: Postgres, database: str, modelriver: ModelRiver
) -> None:
    port, modelriver_port = free_port(), free_port()
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port)]
    with subprocess.Popen(
        [sys.executable, "-m", "lib.local", "dev", *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "DATABASE_URL": postgres.url(database)},
    ) as server:
        assert server.stdout
        lines = iter(server.stdout.readline, "")
        assert next(line for line in lines if "make send" in line)
        url = f"http://127.0.0.1:{port}/api/modelriver"
        delivery = modelriver.sign(modelriver.event({"title": "dev"}, callback_url="elsewhere"))
        assert modelriver.deliver(url, delivery).status == 200
        assert "callback_refused" in next(line for line in lines if line.startswith("{"))
        os.utime(ROOT / "lib" / "content.py")
        assert "started anew" in next(line for line in lines if line.startswith("started"))
        assert modelriver.deliver(url, delivery).status == 200

        taken = [sys.executable, "-m", "lib.local", "dev", *options]
        second = subprocess.run(taken, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert (
            second.stderr
            == f"dev: port {port} is taken: stop what listens there, or choose another\n"
        )
        server.send_signal(signal.SIGINT)
    assert server.returncode == 0
    assert not listens(port)
