"""``tabard cron``: any command of a crontab becomes a service whose runs, and the runs that did not happen, are records.

`expression` and `due` know when a job is to run, `missed` judges what came between two runs, `state` keeps what is
known of a job on disk, `job` runs the command, `jobs` lists what is known.
"""
