# SPDX-License-Identifier: MIT
"""The plots: bars with whiskers for one point, lines for several.  SVG written by hand,
readable on light and dark ground."""

from html import escape

_WIDTH, _BAR, _LEFT, _RIGHT, _TOP = 760, 26, 250, 110, 44
_COLOURS = ("#8a8f98", "#2563eb", "#db2777", "#16a34a", "#d97706", "#7c3aed", "#0891b2", "#b91c1c", "#4d7c0f", "#a16207")
_INK = "#6b7280"


def number(value):
    """Three significant digits or so, without exponents."""
    if value == 0:
        return "0"
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 \
        else f"{value:.3f}"


def _text(x, y, words, anchor="start", size=13, weight="normal", colour=_INK):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(words)}</text>')


def _frame(height, title, parts):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif">', _text(12, 22, title, size=15, weight="bold"), *parts, "</svg>", ""])


def bars(title, unit, rows):
    """rows: (label, Spread, is_cprof), drawn from the top."""
    top = max(row[1].high for row in rows) or 1
    # A bar twenty times as long as the third largest would leave nothing to see of the others.
    ordered = sorted((row[1].median for row in rows), reverse=True)
    limit = ordered[min(2, len(ordered) - 1)] * 4
    is_cut = top > limit > 0
    top = limit if is_cut else top
    scale = (_WIDTH - _LEFT - _RIGHT) / top
    parts = []
    for i, (label, value, is_cprof) in enumerate(rows):
        y = _TOP + i * _BAR
        end = _LEFT + min(value.median, top) * scale
        colour = _COLOURS[1] if is_cprof else _COLOURS[0]
        parts.append(_text(_LEFT - 8, y + 15, label, "end", weight="bold" if is_cprof else "normal"))
        parts.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{max(end - _LEFT, 1):.1f}" height="{_BAR - 9}" rx="2" '
                     f'fill="{colour}"/>')
        if value.median > top:
            parts.append(f'<path d="M{end - 14:.1f} {y + 1} l6 {_BAR - 5}" stroke="white" stroke-width="4"/>')
        else:
            low, high = _LEFT + value.low * scale, _LEFT + min(value.high, top) * scale
            parts.append(f'<path d="M{low:.1f} {y + 11.5} H{high:.1f}" stroke="{_INK}" stroke-width="2"/>')
        parts.append(_text(end + 8, y + 15, f"{number(value.median)} {unit}"))
    return _frame(_TOP + len(rows) * _BAR + 12, title, parts)


def lines(title, unit, point_title, points, rows):
    """rows: (label, [Spread or None for each point]); points are evenly spaced."""
    height, bottom = 360, 310
    top = max((value.high for _, values in rows for value in values if value), default=1) or 1
    step = (_WIDTH - 90 - 230) / max(len(points) - 1, 1)
    parts = [f'<path d="M70 {_TOP} V{bottom} H{_WIDTH - 220}" fill="none" stroke="{_INK}"/>',
             _text((_WIDTH - 150) / 2, bottom + 40, point_title, "middle")]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - share * (bottom - _TOP)
        parts.append(_text(62, y + 4, number(top * share), "end", 11))
        parts.append(f'<path d="M70 {y:.1f} H{_WIDTH - 220}" stroke="{_INK}" stroke-opacity="0.2"/>')
    parts.append(_text(70, _TOP - 8, unit, "middle", 11))
    for i, point in enumerate(points):
        parts.append(_text(90 + i * step, bottom + 18, str(point), "middle", 12))
    for n, (label, values) in enumerate(rows):
        colour = _COLOURS[n % len(_COLOURS)]
        placed = [(90 + i * step, value) for i, value in enumerate(values) if value]
        path = " L".join(f"{x:.1f} {bottom - value.median / top * (bottom - _TOP):.1f}" for x, value in placed)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        for x, value in placed:
            y, low, high = (bottom - v / top * (bottom - _TOP) for v in (value.median, value.low, value.high))
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>')
            parts.append(f'<path d="M{x:.1f} {low:.1f} V{high:.1f}" stroke="{colour}"/>')
        parts.append(f'<rect x="{_WIDTH - 205}" y="{_TOP + n * 22}" width="14" height="14" rx="3" fill="{colour}"/>')
        parts.append(_text(_WIDTH - 185, _TOP + n * 22 + 12, label, size=12))
    return _frame(height, title, parts)
