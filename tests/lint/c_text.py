"""C source as text: what the rules look at without a compiler."""

import re

COMMENT_OR_STRING = re.compile(
    r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.M)
NOT_NEWLINE = re.compile(r"[^\n]")


def _blank(match):
    return NOT_NEWLINE.sub(" ", match.group(0))


def without_comments(text):
    """The text with comments and strings made blank, so that offsets stay."""
    return COMMENT_OR_STRING.sub(_blank, text)


def blanked(text):
    """The text with comments, strings and preprocessor lines made blank."""
    return DIRECTIVE.sub(_blank, without_comments(text))


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
