"""Functions for the registry beside this file; their annotations say what the workflows take and give."""

from dataclasses import dataclass
from decimal import Decimal
from typing import TypedDict

from nexusd import Context, Image, ToolError

CENT = Decimal("0.01")


@dataclass
class Line:
    """What is asked for."""

    name: str
    price: Decimal
    count: int = 1


class Priced(TypedDict):
    """What it costs."""

    total: Decimal
    saved: Decimal


def price(lines: list[Line], discount: Decimal = Decimal(0)) -> Priced:
    """Runs in a thread, since it is no coroutine function."""
    if not 0 <= discount < 1:
        raise ToolError("a discount is a part of the price, such as 0.1")
    full = sum((line.price * line.count for line in lines), Decimal(0))
    total = (full * (1 - discount)).quantize(CENT)
    return {"total": total, "saved": full - total}


async def draw(prices: dict[str, float], ctx: Context) -> Image:
    """Bars as SVG; `ctx` tells whoever waits how far it has come."""
    bars = []
    for place, (name, value) in enumerate(prices.items()):
        bars.append(f'<rect y="{place * 12}" width="{value}" height="10"><title>{len(name)}</title></rect>')
        await ctx.progress(place + 1, len(prices), name)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(bars)}</svg>'
    return Image(svg.encode(), "image/svg+xml")
