"""Every check, in the order in which they are made: docs/reference/doctor.md describes each by its id."""

from __future__ import annotations

from typing import Final

from tabard.ops.doctor import asked, watched
from tabard.ops.doctor.finding import Check

CHECKS: Final = (
    Check("settings", "Values of the settings, and whether they fit together", asked.settings),
    Check("ports", "Addresses that brokers of this home are to have, and cannot", asked.ports),
    Check("keys", "Keys, certificates and their ends, rosters, and policies", asked.keys),
    Check("connections", "Ends where the keys of this home are refused, or lack", asked.connections),
    Check("roles", "Roles that ran here and do not, and what roles say of themselves", asked.roles),
    Check("tunnels", "Tunnels that cannot come up, and those that run and are not up", asked.tunnels),
    Check("listening", "Ports of the roles that other hosts reach", asked.ports_open),
    Check("ports-unknown", "Ports of the roles that no setting asks for", asked.ports_unknown),
    Check("cron", "Jobs of cron that do not run or fail, and roles that it is to start", watched.cron),
    Check("disk-writable", "Disks that are full, read-only, or cannot be written", asked.disk_writable),
    Check("disk-sync", "Disks that do not bring to rest what is written", asked.disk_sync),
    Check("disk-space", "Disks that are nearly full", asked.disk_space),
    Check("disk-inodes", "Disks that can hold few more files", asked.disk_inodes),
    Check("store", "Whether the store answers, where a recorder ran", asked.store),
    Check("clock-nodes", "Clocks of nodes beside that of who heard them", asked.clock_nodes),
    Check("clock-store", "The clock of this host beside the newest arrival", asked.clock_store),
    Check("names", "Names that nodes of several zones have", asked.names),
    Check("versions", "Versions of nodes beside that of this host", asked.versions),
    Check("gaps", "Records that were lost within the last day", asked.gaps),
    Check("holds", "Holds that keep records from retention for long", asked.holds),
    Check("quarantine", "Batches that could not be stored", asked.quarantine),
    Check("zones", "Links, brokers, nodes and rosters of all zones that are known here", asked.zones),
)
