"""Reading what a daemon gives to a scraper."""

from __future__ import annotations

from typing import TypeAlias

import httpx
from prometheus_client.parser import text_string_to_metric_families

Scraped: TypeAlias = dict[str, dict[tuple[tuple[str, str], ...], float]]
"""Values by labels by the name of a sample."""


def scrape(url: str, key: str | None = None) -> Scraped:
    """The metrics of the daemon at `url`."""
    answer = httpx.get(f"{url}/metrics", headers={} if key is None else {"X-API-Key": key}, timeout=10)
    assert answer.status_code == 200, answer.text
    found: Scraped = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found
