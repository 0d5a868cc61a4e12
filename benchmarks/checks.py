"""Figures that are held against a tolerance."""

import dataclasses


@dataclasses.dataclass
class Check:
    """A figure that must not exceed its tolerance; without one it is there to be read."""

    name: str
    value: float
    tolerance: float | None = None
    unit: str = ""

    @property
    def ok(self) -> bool:
        return self.tolerance is None or self.value <= self.tolerance  # so NaN is not


def table(checks: list[Check]) -> str:
    lines = [("check", "value", "tolerance", "ok")]
    for check in checks:
        limit = "–" if check.tolerance is None else f"{check.tolerance:.3g}"
        ok = "–" if check.tolerance is None else "yes" if check.ok else "NO"
        lines.append((check.name, f"{check.value:.3g} {check.unit}".strip(), limit, ok))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
