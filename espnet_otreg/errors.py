"""The error a user can act on: what was expected, what came, how to fix it."""


class UserError(ValueError):
    """A mistake in the input or the configuration, told without a traceback by the commands."""
