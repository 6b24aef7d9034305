"""A small fleet as operations people know it, for looking at every page with a browser."""

from __future__ import annotations

import hashlib
import json
import math
import random
from pathlib import Path
from typing import Any

from tests.unit.web.seed import MINUTE, NOW, SECOND, Seeder, record

STACK = """Traceback (most recent call last):
  File "/srv/shop/venv/lib/python3.11/site-packages/shop/orders/api.py", line 212, in place_order
    payment = self.gateway.charge(order.total, order.card)
  File "/srv/shop/venv/lib/python3.11/site-packages/shop/payment/gateway.py", line 88, in charge
    answer = self.session.post(self.url, json=body, timeout=self.timeout)
  File "/srv/shop/venv/lib/python3.11/site-packages/urllib3/connectionpool.py", line 789, in urlopen
    response = self._make_request(conn, method, url, timeout=timeout_obj)
TimeoutError: the gateway did not answer within 5.0 s"""
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"

SHOP = {"service": "shop-api", "product": "shop", "system": "orders", "package": "shop.api", "logger": "shop"}
SAID: tuple[dict[str, Any], ...] = (
    {**SHOP, "severity": 9, "level": "INFO", "subsystem": "checkout", "user1": "tenant-7", "version": "4.2.1",
     "module": "api", "function": "place_order", "line": 187, "message": "order 88213 placed, 3 items, 129.90 EUR"},
    {**SHOP, "severity": 5, "level": "DEBUG", "subsystem": "checkout", "subsubsystem": "cart", "version": "4.2.1",
     "module": "cart", "function": "reprice", "line": 54, "message": "repriced 3 lines in 1.8 ms"},
    {**SHOP, "severity": 13, "level": "WARNING", "subsystem": "payment", "user1": "tenant-7", "version": "4.2.1",
     "module": "gateway", "function": "charge", "line": 91, "message": "gateway answered after 3.9 s, the limit is 5.0 s"},
    {**SHOP, "severity": 17, "level": "ERROR", "subsystem": "payment", "user1": "tenant-2", "user2": "eu", "version": "4.2.1",
     "module": "api", "function": "place_order", "line": 215, "message": "order 88219 not placed: payment failed",
     "exception": "TimeoutError: the gateway did not answer within 5.0 s", "stack": STACK},
    {"service": "nginx", "severity": 9, "level": "info",
     "message": '10.4.0.17 - - "GET /api/orders/88213 HTTP/1.1" 200 1532 "-" "Mozilla/5.0" 0.021'},
    {"service": "sshd", "severity": 9, "level": "info", "process": 2211,
     "message": "Accepted publickey for deploy from 10.1.0.4 port 51422 ssh2: ED25519 SHA256:q1v0m3xg"},
    {"service": "CRON", "severity": 9, "level": "info", "process": 40412, "message": "(root) CMD (/usr/lib/sysstat/sa1 1 1)"},
    {"service": "kernel", "severity": 13, "level": "warning",
     "message": "TCP: request_sock_TCP: Possible SYN flooding on port 443. Sending cookies."},
    {"service": "postgres", "severity": 10, "level": "notice", "process": 911, "module": "checkpointer",
     "message": "checkpoint complete: wrote 1284 buffers (7.8%); 0 WAL file(s) added, 1 removed, 2 recycled"},
    {"service": "backup", "severity": 21, "level": "CRITICAL", "product": "backup", "system": "nightly", "version": "1.9",
     "message": "no space left on /backup: 0 of 412 tables saved"},
)  # fmt: skip
WEIGHTS = (24, 16, 5, 2, 30, 4, 6, 2, 5, 1)
COMMANDS = (
    ("root", "systemd", "/sbin/init"),
    ("www-data", "nginx", "nginx: worker process"),
    ("shop", "python3", "/srv/shop/venv/bin/python -m shop.api --workers 4 --token=***"),
    ("postgres", "postgres", "postgres: 15/main: shop shop 10.4.0.21(40122) idle in transaction"),
    ("root", "sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups"),
    ("tabard", "tabard", "/opt/tabard/bin/python /opt/tabard/bin/tabard agent"),
)


def said(rng: random.Random, time: int, **more: Any) -> tuple[Any, ...]:
    """One record out of a day in operations."""
    return record(**{**rng.choices(SAID, WEIGHTS)[0], "time": time, **more})


def fill(path: Path, now: int = NOW, count: int = 1500, hours: float = 24) -> Seeder:
    """A store with ``count`` records on four nodes up to ``now``, gaps, samples and beacons. Seeded, so always the same."""
    rng = random.Random(7)
    seeder = Seeder(path)
    span = int(hours * 60 * MINUTE)
    for node, zone in (("web1", "hq"), ("web2", "hq"), ("db1", "hq/db"), ("edge1", "hq/dmz")):
        times = sorted(now - int(rng.random() ** 2 * span) for _ in range(count // 4))
        rows = [said(rng, time) for time in times]
        middle = len(rows) - 12
        seeder.logs(rows[:middle], node=node, zone=zone)
        if node == "edge1":
            seeder.gap(1204, node=node, zone=zone, at_least=True, reason="the journal was full, the oldest made room",
                       detail="journal.logs_bytes = 64MiB", arrived=now - 9 * MINUTE)  # fmt: skip
        if node == "web2":
            seeder.gap(31, node=node, zone=zone, kind="doubt", reason="the node was restored from a snapshot",
                       detail="what it sent before may differ from what is stored", arrived=now - 4 * MINUTE)  # fmt: skip
        seeder.logs(rows[middle:], node=node, zone=zone)
    seeder.logs(
        [record(time=now - 40 * SECOND, severity=17, level="ERROR", service="shop-web", message=HOSTILE)],
        node="web2",
    )
    _versions(seeder, now)
    _beacons(seeder, now)
    _host(seeder, rng, now)
    return seeder


def beat(seeder: Seeder, node: str, zone: str, now: int, age: int = 0) -> None:
    """A node is heard ``age`` seconds before ``now``."""
    seeder.beacon(
        node=node, zone=zone, heard=now - age * SECOND,
        state={"logs": {"last": 900, "behind": age}, "samples": {"last": 80, "behind": 0}},
        facts={"version": "0.1.0", "system": "Debian GNU/Linux 12", "kernel": "6.1.0-27-amd64", "cpus": 4},
    )  # fmt: skip


def _versions(seeder: Seeder, now: int) -> None:
    """Three services on their way through the stages, one of them half rolled out."""
    hour = 60 * MINUTE
    told = (
        ("web2", "TESTING", "shop-api", "4.2.0", 90), ("web2", "TESTING", "shop-api", "4.2.1", 30),
        ("web2", "TESTING", "shop-api", "4.3.0", 2), ("edge1", "INTEGRATION", "shop-api", "4.2.1", 28),
        ("web1", "PRODUCTION", "shop-api", "4.2.0", 80), ("web1", "PRODUCTION", "shop-api", "4.2.1", 6),
        ("db1", "PRODUCTION", "shop-api", "4.2.0", 80), ("web1", "PRODUCTION", "backup-of-all-tables", "1.9", 700),
        ("web2", "TESTING", "till", "2.0.0rc1", 5),
    )  # fmt: skip
    zones = {"web1": "hq", "web2": "hq", "db1": "hq/db", "edge1": "hq/dmz"}
    for node, stage, service, version, hours in told:
        values = {
            "db.dsn": f"postgresql://shop:***@{stage.lower()}-database.example.org:5432/shop?sslmode=require",
            "db.password": "********",
            "global.logging": "DEBUG" if stage == "TESTING" else "INFO",
            "orders.batch": "100" if version < "4.2.1" else "250",
        }
        said = {
            "service": service,
            "package": service,
            "version": version,
            "stage": stage,
            "digest": hashlib.sha256(repr((service, values)).encode()).hexdigest()[:32],
            "rule": "salted",
            "values": values,
            "secrets": {"db.password": hashlib.sha256(stage.encode()).hexdigest()[:16]},
            "left_out": 0,
        }
        seeder.logs(
            [record(time=now - hours * hour, logger="tabard.config", service=service, version=version,
                    message=f"{service} {version} in {stage}: configuration {str(said['digest'])[:12]} at its start",
                    attributes=json.dumps({"configuration": said}))],
            node=node, zone=zones[node],
        )  # fmt: skip


def _beacons(seeder: Seeder, now: int) -> None:
    heard = {("web1", "hq"): 3, ("web2", "hq"): 18, ("edge1", "hq/dmz"): 1500}  # db1 was never heard
    for (node, zone), age in heard.items():
        for minute in range(90, -1, -1):
            if node == "web1" and 31 <= minute <= 34:
                continue
            for turn in range(6):
                at = now - minute * MINUTE - turn * 10 * SECOND
                if at <= now - age * SECOND:
                    seeder.beacon(
                        node=node, zone=zone, heard=at, wall=at + (4 * SECOND if node == "edge1" else 0)
                    )
        beat(seeder, node, zone, now, age)


def _host(seeder: Seeder, rng: random.Random, now: int) -> None:
    samples: list[tuple[int, str, dict[str, Any]]] = []
    rx = tx = read = written = 0
    for step in range(400, -1, -1):
        at = now - step * 10 * SECOND
        wave = (math.sin(step / 40) + 1) / 2
        rx += int(2_000_000 * wave + rng.random() * 400_000)
        tx += int(6_000_000 * wave + rng.random() * 900_000)
        read += int(rng.random() * 3_000_000)
        written += int(rng.random() * 9_000_000)
        if 180 < step < 205:
            continue
        samples.append(
            (at, "host", {
                "cpu": 12 + 50 * wave + rng.random() * 8, "cpus": 4, "load": [0.4 + 2 * wave, 0.9, 0.8],
                "mem_total": 16 * 2**30, "mem_used": int((6 + 2 * wave) * 2**30), "mem_available": 8 * 2**30,
                "swap_total": 2**31, "swap_used": 300 * 2**20,
                "disks": {"/": [100 * 2**30, 61 * 2**30], "/var/lib/postgresql": [400 * 2**30, 352 * 2**30]},
                "disk_io": [read, written], "net": {"eth0": [rx, tx, 0, 0]}, "uptime": 9_000_000, "procs": 142,
            })
        )  # fmt: skip
    procs = [
        [700 + number, now - (number + 1) * 3600 * SECOND, 1, user, name, command, "S",
         round(rng.random() ** 3 * 90, 1), int(rng.random() ** 2 * 900 * 2**20), 1 + number % 9]
        for number, (user, name, command) in enumerate(COMMANDS * 9)
    ]  # fmt: skip
    samples.append(
        (
            now - 5 * SECOND,
            "processes",
            {"full": True, "scan": 1, "part": 0, "parts": 1, "procs": procs, "gone": []},
        )
    )
    seeder.samples(samples)
