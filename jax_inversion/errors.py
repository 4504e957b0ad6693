"""The one error that means: what the user gave is wrong."""


class UserError(Exception):
    """Something the user gave is wrong. The message is one clear line: where, what was found, what is right.

    Front doors print it without a traceback and exit with code 2.
    """
