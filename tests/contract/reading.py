"""What every engine of the store must answer when it is read: the log, its nodes, their samples, what runs where."""

from __future__ import annotations

from tests.contract.reading_accounts import AccountContract
from tests.contract.reading_beside import BesideContract
from tests.contract.reading_deployments import DeploymentContract
from tests.contract.reading_logs import LogContract
from tests.contract.reading_nodes import NodeContract
from tests.contract.reading_quarantine import QuarantineContract
from tests.contract.reading_samples import SampleContract


class ReadingContract(
    LogContract,
    BesideContract,
    QuarantineContract,
    NodeContract,
    SampleContract,
    DeploymentContract,
    AccountContract,
):
    """Inherit, give an `engine` that is a `ReadingEngine`, and call the properties as `storage` says."""
