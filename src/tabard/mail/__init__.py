"""Mail: composed, queued on disk, handed to an SMTP server."""
