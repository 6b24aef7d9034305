"""Running a command: its output bounded and recorded, its whole process group ended at the time-out."""
