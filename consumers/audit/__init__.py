"""The audit: what the control stream holds of who did what, and whether it is whole and what its nodes signed."""
