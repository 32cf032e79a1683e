"""How long work of many equal parts still takes, in words."""

_MINUTE_S, _HOUR_S = 60, 3600


def time_left(seconds: float, done: int, total: int) -> str:
    """What `total` parts still take, if `done` of them, at least one, took so many seconds."""
    left = seconds / done * (total - done)
    if left >= 1.5 * _HOUR_S:
        return f"about {left / _HOUR_S:.0f} h left"
    if left >= _MINUTE_S:
        return f"about {left / _MINUTE_S:.0f} min left"
    return "under a minute left"
