"""The errors whose message is all that a user needs: front doors print it without a traceback."""


class UserError(Exception):
    """Something the user gave is wrong. The message is one clear line: where, what was found, what is right.

    Front doors print it without a traceback and exit with code 2.
    """


class RunError(RuntimeError):
    """A run came to a bad end that its message, one clear line, explains. Front doors exit with code 1."""
