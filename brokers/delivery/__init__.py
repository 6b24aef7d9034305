"""The pure delivery core: decisions from (state, message, now), without sockets, disk or clock."""
