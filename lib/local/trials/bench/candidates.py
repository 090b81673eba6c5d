"""What is measured: the function, and what it is compared with."""

from lib.local.standins.vercel import ENTRYPOINT

FLOOR, STRAIGHTFORWARD, OURS = "floor", "straightforward", "ours"
CANDIDATES = {
    FLOOR: "lib/local/trials/bench/floor.py",
    STRAIGHTFORWARD: "lib/local/trials/bench/straightforward.py",
    OURS: ENTRYPOINT,
}
"""The file of each, below the project's root."""
