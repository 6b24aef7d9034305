"""What runs on every host: intake, journal, samplers, and the publisher that hands it all up."""
