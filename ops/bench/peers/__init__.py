"""What Tabard is compared with: one module for each tool, each a `Peer`, and the phases that all of them go through."""
