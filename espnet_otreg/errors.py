"""The error a user can act on: what was expected, what came, how to fix it."""


class UserError(ValueError):
    """A mistake in the input or the configuration, told without a traceback by the commands."""


def one_line(error: BaseException) -> str:
    """What another package has to say, which may be many lines, as one."""
    return " ".join(str(error).split())
