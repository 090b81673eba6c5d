"""What the READMEs tell an owner to do, taken from there and done to a copy of this project."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lib.jsontext import Json
from lib.local.commands.build import copy_project
from lib.local.database import Connection
from lib.local.project import LOCAL, ROOT
from lib.local.standins.modelriver import ModelRiver
from lib.local.standins.postgres import Postgres
from lib.local.standins.process import PartMissing, free_port
from lib.local.standins.stack import Stack
from tests.support import clone, make_dev, missing, new_channel

README = ROOT / "README.md"
RECIPES = ROOT / "sql" / "README.md"
# Without those of coverage: it would measure a copy as more of the function.
ENVIRONMENT = {name: value for name, value in os.environ.items() if "COVERAGE" not in name} | {
    "GIT_CONFIG_GLOBAL": os.devnull,
    **{f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def block(heading: str, language: str, number: int = 0) -> str:
    """The text of a heading's code block in sql/README.md, the first of that language."""
    section = RECIPES.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    blocks: list[str] = re.findall(rf"(?s)```{language}\n(.*?)```", section)
    return blocks[number]


def run(folder: Path, *command: str, **environment: str) -> str:
    """What it prints, when it has succeeded."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def python(folder: Path, *arguments: str, **environment: str) -> str:
    return run(folder, sys.executable, *arguments, **environment)


def insert(path: Path, before: str, text: str) -> None:
    """Put it in front of the only line like `before`, unless it is there already."""
    written = path.read_text()
    if text.strip() not in written:
        begin, found, end = written.partition(f"\n{before}\n")
        assert found, before
        path.write_text(f"{begin}\n{text}{found}{end}")


def keep_the_year(project: Path) -> None:
    """The three lines of "Make it yours"."""
    field, value, column = re.findall(r"(?m)^\d\. .*: `(.*)`$", README.read_text())
    content = project / "lib" / "content.py"
    insert(content, "\n\ndef to_row(event: AiGenerated) -> AiContent:", f"    {field}")
    insert(
        content,
        "    )\n\n\ndef raw_text(answer: dict[str, Json]) -> str | None:",
        f"        {value}",
    )
    insert(project / "sql" / "schema.sql", "COMMIT;", f"{column}\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this project."""
    try:
        return copy_project(tmp_path / "project", link=False)
    except PartMissing as reason:
        missing(reason)


@pytest.fixture
def yearly(project: Path) -> Path:
    keep_the_year(project)
    return project


def test_another_column_passes_all_checks(yearly: Path, postgres: Postgres, database: str) -> None:
    # What it knows of other people's packages is the same from one run to the next.
    python(yearly, "-m", "mypy", "--cache-dir", str(LOCAL / "mypy"))
    python(yearly, "-m", "ruff", "check")
    python(yearly, "-m", "ruff", "format", "--check")
    url = postgres.url(database)  # which has the table as it was
    said = python(yearly, "-m", "lib.local", "schema", DATABASE_URL_UNPOOLED=url)
    assert "the table agree" in said
    said = python(yearly, "-m", "lib.local", "schema", "--check", DATABASE_URL_UNPOOLED=url)
    assert "the table agree" in said


def test_another_column_breaks_no_test_of_rows(yearly: Path, postgres: Postgres) -> None:
    tests = ["tests/function/test_content.py", "tests/function/test_database.py"]
    python(yearly, "-m", "pytest", *tests, "tests/stack/test_answers.py", "-k", "row or result")


def test_another_column_is_stored(
    yearly: Path, postgres: Postgres, database: str, rows: Connection
) -> None:
    """As `make dev` shows it, to whom `make send` delivers what has a year of 2010."""
    url, port = postgres.url(database), free_port()
    modelriver_port = free_port()
    python(yearly, "-m", "lib.local", "schema", DATABASE_URL_UNPOOLED=url)
    settings = {
        "MODELRIVER_WEBHOOK_SECRET": "secret",
        "MODELRIVER_CALLBACK_ORIGINS": f"http://127.0.0.1:{modelriver_port}",
        "DATABASE_URL": url,
    }
    options = ["--port", str(port), "--modelriver-port", str(modelriver_port)]
    function = f"http://127.0.0.1:{port}/api/modelriver"
    with make_dev(*options, directory=yearly, environment={**ENVIRONMENT, **settings}):
        python(yearly, "-m", "lib.local", "send", function, **settings)
    (row,) = rows.execute("SELECT year FROM ai_content").fetchall()
    assert row["year"] == 2010


@pytest.fixture
def reviewing(project: Path, postgres: Postgres, modelriver: ModelRiver) -> Iterator[Stack]:
    """The function on a database with the recipe's table, its schema applied twice."""
    insert(
        project / "sql" / "schema.sql", "COMMIT;", block("Another table for another event", "sql")
    )
    with Stack(modelriver, postgres, database=clone(postgres)) as stack:
        for _ in range(2):
            url = stack.direct_url
            assert "agree" in python(
                project, "-m", "lib.local", "schema", DATABASE_URL_UNPOOLED=url
            )
        stack.serve()
        yield stack


def deliver(stack: Stack, ai_result: Json, times: int, **members: Json) -> str:
    """The channel of what was delivered so often, at once and each time answered 200."""
    channel, river = new_channel(), stack.modelriver
    delivery = river.sign(river.event(ai_result, channel_id=channel, **members))
    with ThreadPoolExecutor(times) as threads:
        replies = threads.map(lambda _: river.deliver(stack.vercel.url, delivery), range(times))
        assert [reply.status for reply in replies] == [200] * times
    return channel


def test_another_table_for_another_event(reviewing: Stack) -> None:
    review: Json = {"title": "A", "rating": 5, "summary": "Good."}
    channel = deliver(reviewing, review, 8, event="product_review")
    deliver(reviewing, review, 1, event="another")
    refused = deliver(reviewing, {"rating": "good"}, 1, event="product_review")

    (kept,) = reviewing.rows(channel)
    (review_kept,) = reviewing.connection.execute("SELECT * FROM product_reviews").fetchall()
    assert review_kept == {"id": kept["id"], "rating": 5, "summary": "Good."}
    assert reviewing.rows(refused) == []
    (callback,) = reviewing.modelriver.callbacks_for(refused)
    assert callback.content["error"] == "processing_failed"


def add(connection: Connection, title: str, ai_data: Json, age: str = "0") -> None:
    connection.execute(
        "INSERT INTO ai_content (title, body, ai_data, event_name, created_at)"
        " VALUES (%s, '', %s, 'new_movie_suggestion', now() - %s::interval)",
        [title, json.dumps(ai_data), age],
    )


def test_reading_rows_in_a_program(
    tmp_path: Path, postgres: Postgres, database: str, rows: Connection
) -> None:
    add(rows, "Inception", {"year": 2010}, "1 hour")
    add(rows, "Untitled", "just text")
    add(rows, "Dune", {})
    program = tmp_path / "movies.py"
    program.write_text(block("Reading rows in your own program", "python"))
    python(tmp_path, "-m", "mypy", "--strict", program.name)
    said = python(tmp_path, program.name, DATABASE_URL=postgres.url(database))
    assert said.splitlines() == ["Dune None", "Inception 2010"]


def test_deleting_old_rows(rows: Connection) -> None:
    add(rows, "old", {}, "91 days")
    add(rows, "young", {}, "89 days")
    rows.execute(block("Deleting rows older than 90 days", "sql").encode())
    assert rows.execute("SELECT title FROM ai_content").fetchall() == [{"title": "young"}]


def commit(folder: Path, *, new: bool = False) -> str:
    """Commit all that there is; its id."""
    if new:
        run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, "git", "add", "--all", "--force")
    run(folder, "git", "commit", "--quiet", "--allow-empty", "--message=so")
    return run(folder, "git", "rev-parse", "HEAD").strip()


@pytest.mark.parametrize("how", ["cloned", "copied"])
def test_a_newer_version(
    project: Path, tmp_path: Path, postgres: Postgres, database: str, how: str
) -> None:
    """Both sides have changed the same files."""
    began_from = commit(project, new=True)
    mine = tmp_path / "mine"
    if how == "cloned":
        run(tmp_path, "git", "clone", "--quiet", str(project), str(mine))
    else:
        commit(copy_project(mine, link=False), new=True)
    keep_the_year(mine)
    commit(mine)

    insert(project / "sql" / "schema.sql", "BEGIN;", "-- newer\n")
    insert(project / "lib" / "content.py", "from dataclasses import dataclass", "# newer")
    commit(project)

    add_remote, fetch, merge = block("A newer version of this project", "sh").splitlines()
    steps = [add_remote.replace("https://github.com/<owner>/<repository>", str(project)), fetch]
    if how == "copied":
        tie = block("A newer version of this project", "sh", 1)
        steps.append(tie.replace("<commit>", began_from))
    run(mine, "sh", "-ec", "\n".join([*steps, merge]))

    for name in ("sql/schema.sql", "lib/content.py"):
        text = (mine / name).read_text()
        assert "newer" in text
        assert "year" in text
    url = postgres.url(database)
    assert "agree" in python(mine, "-m", "lib.local", "schema", DATABASE_URL_UNPOOLED=url)
    assert run(mine, "git", "status", "--porcelain") == ""
