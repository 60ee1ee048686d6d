"""Numbers as people read them: true minus signs, narrow spaces between thousands, units."""

import math

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NARROW NO-BREAK SPACE}"
NOTHING = "\N{EM DASH}"
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def bits(value: float | None, places: int = 3) -> str:
    """A figure in bits per byte or nats per token: fixed places, so that columns line up."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:.{places}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}".replace(",", SPACE).replace("-", MINUS)


def short(value: float | None) -> str:
    """A large count in three significant digits: 1.23 M."""
    if value is None:
        return NOTHING
    for size, prefix in PREFIXES:
        # 999,999 is 1 M in three digits, not 1000 k.
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{SPACE}{prefix}"
    return f"{value:.0f}"


def share(value: float | None) -> str:
    if value is None:
        return NOTHING
    percent = 100 * value
    return f"{percent:.0f}{SPACE}%" if percent == 0 or percent >= 9.95 else f"{percent:.1f}{SPACE}%"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest}{SPACE}s"
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s" if rest else f"{minutes}{SPACE}min"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def memory(size: int | None) -> str:
    return NOTHING if size is None else f"{short(size)}B"


def rate(value: float | None) -> str:
    """A learning rate, as it is written in configs."""
    return NOTHING if value is None else f"{value:g}".replace("e-0", "e-")


def _three_digits(value: float) -> str:
    whole_digits = len(str(int(abs(value))))
    return f"{value:.{max(0, 3 - whole_digits)}f}"
