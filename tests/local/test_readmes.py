"""What the READMEs name is there: commands, options, files, settings, answers, outcomes."""

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from lib.errors import DeliveryError
from lib.local.project import ROOT

README = ROOT / "README.md"
FOLDERS = [
    ROOT / folder / "README.md" for folder in ("lib/local", "sql", "tests", ".github/workflows")
]
READMES = [README, *FOLDERS]
names = pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))


def code(text: str) -> list[str]:
    """What is set as code, in a line or in a block, line by line."""
    blocks = re.findall(r"(?s)```sh\n(.*?)```", text)
    lines = re.findall(r"`([^`\n]+)`", re.sub(r"(?s)```.*?```", "", text))
    return [line for each in [*blocks, *lines] for line in each.splitlines()]


def anchors(path: Path) -> set[str]:
    """The headings as GitHub links to them."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text())
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(heading: str) -> str:
    return README.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_the_face_stays_small() -> None:
    assert README.stat().st_size <= 10_000


def test_each_folders_readme_is_found_by_one_link() -> None:
    for path in FOLDERS:
        links = re.findall(rf"\]\({re.escape(str(path.relative_to(ROOT)))}\)", README.read_text())
        assert len(links) == 1, path


@names
def test_every_link_leads_somewhere(readme: Path) -> None:
    text = readme.read_text()
    links = re.findall(r"""(?:\]\(|(?:src|srcset)=")([^)"]+)[)"]""", text)
    assert links
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        path = readme.parent / name if name else readme
        assert path.exists(), link
        assert not anchor or anchor in anchors(path), link


COMMAND_LINES = sorted(
    {line for readme in READMES for line in code(readme.read_text()) if "make " in line}
)


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_target_of_make_is_there(line: str) -> None:
    there = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = re.findall(r"\bmake((?: [a-z-]+)+)", line.partition("#")[0])
    assert named
    assert set(" ".join(named).split()) <= there


@pytest.mark.parametrize("line", [line for line in COMMAND_LINES if "ARGS=" in line])
def test_every_option_of_a_command_is_there(line: str) -> None:
    """Each is read as the command itself would, or by pytest."""
    found = re.search(r'make ([a-z-]+) .*?ARGS=("[^"]*"|\S+)', line)
    assert found
    name, options = found[1], shlex.split(found[2].strip('"'))
    if name == "test":
        assert all((ROOT / option).exists() for option in options)
        return
    command = argparse.ArgumentParser(exit_on_error=False)
    import_module(f"lib.local.commands.{name.replace('-', '_')}").add_arguments(command)
    assert command.parse_args([*(["https://a.test"] if "URL=" in line else []), *options])


def test_every_setting_is_listed() -> None:
    listed = set(re.findall(r"(?m)^\| `([A-Z_]+)` \|", section("Settings")))
    example = set(re.findall(r"(?m)^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text()))
    read = set(re.findall(r'"([A-Z]+_[A-Z_]+)"', (ROOT / "lib" / "settings.py").read_text()))
    assert listed == example == read | {"DATABASE_URL_UNPOOLED"}


def test_every_outcome_is_explained() -> None:
    table = section("Is it well?").partition("| --- | --- |")[2]
    listed = re.findall(r"`([a-z_]+)`", "".join(re.findall(r"(?m)^\| (`.*?) \|", table)))
    failed = [error.outcome for error in DeliveryError.__subclasses__()]
    source = (ROOT / "lib" / "webhook.py").read_text()
    ended = set(re.findall(r'return "([a-z_]+)"', source))
    assert len(ended) == 4
    assert sorted(listed) == sorted([*failed, *ended, "warning"])


def test_every_status_is_in_the_table_of_answers() -> None:
    rows = [line.split("|") for line in section("What is answered").splitlines() if "|" in line]
    answers = " ".join(row[2] for row in rows)
    statuses = {error.status for error in DeliveryError.__subclasses__()}
    for status in {*statuses, 405}:
        assert str(status) in answers
