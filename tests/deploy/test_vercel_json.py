"""What Vercel's builder lets pass without a word."""

import json
from pathlib import Path

from lib import webhook

ROOT = Path(__file__).parents[2]
CONFIG = json.loads((ROOT / "vercel.json").read_text())


def test_the_function_is_named_and_exists() -> None:
    (path,) = CONFIG["functions"]
    assert (ROOT / path).is_file()
    assert "class handler(" in (ROOT / path).read_text()  # the builder looks for this very text


def test_modelriver_may_use_any_of_the_usual_paths() -> None:
    sources = {each["source"]: each["destination"] for each in CONFIG["rewrites"]}
    assert sources == {
        "/webhook": "/api/modelriver",
        "/webhook/modelriver": "/api/modelriver",
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


KNOWN_KEYS = {
    "$schema", "framework", "regions", "build", "functions", "rewrites", "headers",
}  # fmt: skip
REGIONS = {
    "arn1", "bom1", "cdg1", "cle1", "cpt1", "dub1", "dxb1", "fra1", "gru1", "hkg1", "hnd1", "iad1",
    "icn1", "kix1", "lhr1", "pdx1", "sfo1", "sin1", "syd1", "yul1",
}  # fmt: skip


def test_every_key_is_known_and_every_region_real() -> None:
    """Vercel's builder passes a misspelt key and an invented region; they would just not count."""
    assert set(CONFIG) <= KNOWN_KEYS
    assert CONFIG["regions"]
    assert set(CONFIG["regions"]) <= REGIONS
    for settings in CONFIG["functions"].values():
        assert set(settings) <= {"maxDuration", "memory", "excludeFiles"}
        assert isinstance(settings["excludeFiles"], str)  # an array would be ignored


def test_what_is_excluded_exists() -> None:
    """A path that is misspelt would be bundled without a word."""
    globs = CONFIG["functions"]["api/modelriver.py"]["excludeFiles"].strip("{}").split(",")
    generated = {"node_modules/**", "uv.lock", "*.toml"}
    for glob in globs:
        assert glob in generated or any(ROOT.glob(glob.removesuffix("/**"))), glob
