"""Configuration of applications."""
