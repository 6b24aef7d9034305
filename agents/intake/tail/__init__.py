"""Files that are followed as they grow, each line (or trace of several lines) a log record."""
