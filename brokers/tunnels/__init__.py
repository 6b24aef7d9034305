"""Tunnels: ssh connections that carry the links between zones, kept up and judged.

`core` decides (pure); `backends` are three ways to have a tunnel with one interface; `probe` asks what is behind a
forward; `tunnel` puts them together in one loop, and `role` is the process.

What goes wrong, and what is done:

====================================================  =====================================================================
ssh ends, the server resets the connection            started again at once, then with growing waits; the same local port
the peer is frozen, or its network silent             keep-alives of ssh end it within 12 s; two probes say so within 11 s
ssh itself is frozen                                  the probes say so; it is killed and started again after 30 s
nothing listens behind the forward                    said at the next probe; ssh is left alone, since it is well
something else listens there                          said, with what it answers
the server's host key is another one                  never connected to; said once, tried again every few minutes
the host is not known, the key is refused, a file     said once with what to do; tried with long waits, at once on SIGHUP
cannot be read, ssh does not understand its options
the local port is taken                               said; tried with growing waits
the server refuses a forward                          said; a listener there ends the attempt, a target shows at the probe
it hangs before anything is forwarded                 ended after 25 s, and counted as not reachable
====================================================  =====================================================================
"""
