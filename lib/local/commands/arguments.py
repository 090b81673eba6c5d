"""Kinds of arguments, as argparse asks for them."""

import argparse
import math


def positive(text: str) -> float:
    """A number above zero."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError("must be above zero")
    return number


def count(text: str) -> int:
    """A whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be above zero")
    return number


def port(text: str) -> int:
    """A TCP port."""
    number = int(text)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError("must be a port, 1 to 65535")
    return number
