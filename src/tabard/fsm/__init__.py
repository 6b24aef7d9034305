"""State machines: states whose handlers return the next input, checked when they are put together.

A ``Machine`` is built from ``State``s and run with a context. The trace of a run is log records and data; ``dot``
and ``svg`` draw the machine from the code that runs.
"""

from tabard.fsm.dot import dot
from tabard.fsm.drawing import svg
from tabard.fsm.errors import DefinitionError, HandlerError, MachineError, StepLimitError, TransitionError
from tabard.fsm.machine import Edge, Machine
from tabard.fsm.notice import Notice, by_mail
from tabard.fsm.state import State
from tabard.fsm.trace import Step, Trace

__all__ = [
    "DefinitionError",
    "Edge",
    "HandlerError",
    "Machine",
    "MachineError",
    "Notice",
    "State",
    "Step",
    "StepLimitError",
    "Trace",
    "TransitionError",
    "by_mail",
    "dot",
    "svg",
]
