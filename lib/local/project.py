"""Where this project is, and where it keeps what is not part of it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / ".local"
"""What the commands keep from one run to the next; git ignores it."""
