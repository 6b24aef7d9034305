"""The zones, brokers, links and nodes as far as one home knows them."""
