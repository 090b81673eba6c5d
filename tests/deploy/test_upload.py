"""What `vercel deploy` uploads: the function, and nothing that a day of work leaves beside it."""

import json
import subprocess
from pathlib import Path

from lib.local.commands import cli
from tests.deploy.conftest import Platforms, check_out

LEFT_BY_WORK = (
    ".env",
    ".env.local",
    ".env.production",
    ".neon",
    ".vercel/.env.preview.local",
    ".vercel/output/config.json",
    ".venv/bin/python",
    ".local/postgres/data/base/1/1259",
    ".local/deploy/.env",
    ".coverage",
    ".hypothesis/examples/1",
    ".mypy_cache/3.12/lib.json",
    "__pycache__/sitecustomize.cpython-312.pyc",
    "api/.env",
    "api/__pycache__/modelriver.cpython-312.pyc",
    "lib/__pycache__/webhook.cpython-312.pyc",
    "lib/local/standins/__pycache__/neon.cpython-312.pyc",
    "node_modules/vercel/package.json",
    "id_rsa",
    "notes.txt",
    "preview.log",
    "pyproject.toml",
    "service-account.json",
    "uv.lock",
)


def test_the_function_and_nothing_else_is_uploaded(unspoilt: Platforms, tmp_path: Path) -> None:
    checkout = check_out(tmp_path / "checkout")
    for name in LEFT_BY_WORK:
        file = checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("left")
    done = subprocess.run(
        [cli.program("vercel"), "deploy", "--dry", "--json"],
        cwd=checkout,
        env=cli.environment(unspoilt.environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    needed = {".python-version", "requirements.txt", "vercel.json"}
    for pattern in ("api/*.py", "lib/*.py", "public/*"):
        needed |= {str(path.relative_to(checkout)) for path in checkout.glob(pattern)}
    assert {each["path"] for each in json.loads(done.stdout)["files"]} == needed
