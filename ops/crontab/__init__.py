"""The lines of a home's roles in a crontab: made (`lines`), put between two markers (`block`), read and written (`table`)."""
