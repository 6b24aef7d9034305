"""A simulation of whole chains in virtual time, driving the production classes of the delivery core."""
