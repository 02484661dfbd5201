"""Commands whose work is not built yet say so in one line and fail: no empty success."""

from conventions.errors import UserError


def refuse(instead: str) -> int:
    """Raise the one line of a command that is not built yet."""
    raise UserError(f"not built yet; {instead}")
