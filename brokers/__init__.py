"""What every role that touches the wire shares: format, delivery core, sockets, event loop, forwarder."""
