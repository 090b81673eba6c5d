"""What ends a command with one line."""


class Problem(Exception):
    """Something that whoever runs a command can do something about: the message says what is wrong.

    It ends a command with this message and status 1. Any other exception is a fault of this
    project, and shows its traceback.
    """
