"""The error that a user can do something about."""


class Problem(Exception):
    """Says what is wrong and what to do about it; ends the program."""
