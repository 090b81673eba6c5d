"""What Vercel's builder lets pass without a word."""

import json
from pathlib import Path

from lib import webhook

ROOT = Path(__file__).parents[1]
CONFIG = json.loads((ROOT / "vercel.json").read_text())


def test_the_function_is_named_and_exists() -> None:
    (path,) = CONFIG["functions"]
    assert (ROOT / path).is_file()
    assert "class handler(" in (ROOT / path).read_text()  # the builder looks for this very text


def test_modelriver_may_use_any_of_the_usual_paths() -> None:
    sources = {each["source"]: each["destination"] for each in CONFIG["rewrites"]}
    assert sources == {
        "/webhooks/modelriver": "/api/modelriver",
        "/api/webhooks/modelriver": "/api/modelriver",
    }


def test_a_public_folder_keeps_the_sources_from_being_published() -> None:
    assert (ROOT / "public" / "index.html").is_file()
    assert CONFIG["framework"] is None


def test_the_function_has_longer_than_its_longest_wait() -> None:
    longest = webhook.ANSWER_WITHIN + webhook.NOTE_WITHIN
    assert longest < CONFIG["functions"]["api/modelriver.py"]["maxDuration"] == 30
    assert webhook.ANSWER_WITHIN < 25
