"""Text that several readers make of the same kind of cell."""


def duration_text(seconds: float) -> str:
    """``HH:MM:SS`` of a number of seconds, rounded; hours may pass 24, and a sign may stand."""
    whole = round(seconds)
    sign, whole = ("-", -whole) if whole < 0 else ("", whole)
    return f"{sign}{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
