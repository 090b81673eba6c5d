"""The README's pictures of the console."""


def run() -> None:
    raise NotImplementedError
