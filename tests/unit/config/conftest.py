"""Makes configurations in a folder of their own, with no environment but what a test gives."""

from __future__ import annotations

import logging

import pytest

from tabard.config import Config
from tabard.settings.announce import LOGGER


@pytest.fixture
def make(tmp_path):
    """``make("shop", options, ...)``: a configuration that sets up no logging and is closed after the test."""
    made = []

    def call(service="shop", options=(), **given):
        named = {"directory": tmp_path, "home": tmp_path / "home", "env": {}, "logging": False, **given}
        config = Config(service, options, **named)
        made.append(config)
        return config

    yield call
    for config in made:
        config.close()


@pytest.fixture
def heard():
    """The records of the logger of configurations, as they come."""
    records: list[logging.LogRecord] = []

    class Ears(logging.Handler):
        def emit(self, record):
            records.append(record)

    ears = Ears()
    logger = logging.getLogger(LOGGER)
    logger.addHandler(ears)
    yield records
    logger.removeHandler(ears)
