"""The result as a table for people, a line for each peer: in the terminal, and on the comparison page."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final


def rows(peers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table for people: a line for each peer. Also made of what ``-o json`` wrote."""
    return [dict(zip(COLUMNS, chain([peer["title"]], _cells(peer)), strict=True)) for peer in peers.values()]


COLUMNS: Final = (
    "peer",
    "ends in",
    "records/s",
    "CPU s/million",
    "memory MB",
    "lost",
    "doubled",
    "out of order",
    "told",
)
"""Of the table."""


def _cells(peer: Mapping[str, Any]) -> list[Any]:
    if "not_installed" in peer:
        return [peer["store"], f"not installed: {peer['not_installed']}", *[""] * (len(COLUMNS) - 3)]
    if "failed" in peer:
        return [peer["store"], f"does not run: {peer['failed']}", *[""] * (len(COLUMNS) - 3)]
    hit = peer["kills"]
    server = f" + {peer['server_pss_mb']:.0f}" if "server_pss_mb" in peer else ""
    return [
        peer["store"],
        f"{peer['records_per_second']:,.0f}",
        f"{peer['cpu_seconds_per_million']:.1f}",
        f"{peer['pss_mb']:.0f}{server}",
        _lost(hit),
        f"{hit['doubled']:,}",
        f"{hit['out_of_order']:,}",
        _told(hit),
    ]


def _lost(hit: Mapping[str, Any]) -> str:
    if not hit["lost"]:
        return "0"
    share = hit["lost"] / max(hit["given"], 1)
    return f"{hit['lost']:,} ({share:.1%})" if share >= 0.001 else f"{hit['lost']:,} (< 0.1%)"


def _told(hit: Mapping[str, Any]) -> str:
    """Whether anybody who looks would know of the loss."""
    told = hit["peer_told"] + hit["application_told"]
    if not hit["lost"] and not told:
        return "-"
    return f"of {told:,}" if told else "no"
