"""What people and cron run: the command line, its documentation, and the tools around it."""
