"""What commands go by: the shell, and behind it `.env`."""

from pathlib import Path

import pytest

from lib.local import environment as module
from lib.local.environment import environment, setting
from lib.local.problem import Problem
from lib.settings import api_key, database_url


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / ".env"
    monkeypatch.setattr(module, "FILE", path)
    return path


def test_the_shell_wins(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(
        "# as .env.example has it\n"
        "MODELRIVER_API_KEY='quoted $HOME'\n"
        "export DATABASE_URL=postgresql://file/d # a remark\n"
        "DATABASE_URL_UNPOOLED=\n"
        "MODELRIVER_CALLBACK_ORIGINS=https://file.example\n"
    )
    monkeypatch.delenv("MODELRIVER_API_KEY", raising=False)
    monkeypatch.setenv("DATABASE_URL", "postgresql://shell/d")
    monkeypatch.setenv("MODELRIVER_CALLBACK_ORIGINS", "")
    read = environment()
    assert read["MODELRIVER_API_KEY"] == "quoted $HOME"
    assert read["DATABASE_URL"] == "postgresql://shell/d"
    assert read["MODELRIVER_CALLBACK_ORIGINS"] == ""  # taken away, on purpose
    assert "DATABASE_URL_UNPOOLED" not in read


def test_a_file_that_cannot_be_read_is_said_in_one_line(file: Path) -> None:
    assert environment()
    file.write_bytes(b"A=\xff")
    with pytest.raises(Problem, match=r"^\.env is not UTF-8 at byte 2$"):
        environment()
    file.unlink()
    file.mkdir()
    assert environment()


def test_a_setting_that_is_wrong_is_named_and_not_shown() -> None:
    for given, reason in {
        "": "DATABASE_URL is missing",
        "bogus": "DATABASE_URL is not a postgresql:// URL",
        '"postgresql://x/y"': "DATABASE_URL is still in quotes",
    }.items():
        with pytest.raises(Problem, match=f"^{reason}$"):
            setting(database_url, {"DATABASE_URL": given})
    assert setting(api_key, {"MODELRIVER_API_KEY": " mr_live_1 "}) == "mr_live_1"
