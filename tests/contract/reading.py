"""What every engine of the store must answer when it is read: the log, its nodes, their samples."""

from __future__ import annotations

from tests.contract.reading_logs import LogContract
from tests.contract.reading_nodes import NodeContract
from tests.contract.reading_samples import SampleContract


class ReadingContract(LogContract, NodeContract, SampleContract):
    """Inherit, give an `engine` that is a `ReadingEngine`, and call the properties as `storage` says."""
