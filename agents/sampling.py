"""When this host is sampled, and where the samples go: into the journal of their stream, each at its own pace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from tabard.agents.journal.journal import Journal
from tabard.agents.samplers.host import HostSampler
from tabard.agents.samplers.links import LinksSampler
from tabard.agents.samplers.processes import ProcessSampler
from tabard.brokers.loop import Loop
from tabard.brokers.wire.codec import pack
from tabard.clock import Clock
from tabard.errors import JournalError
from tabard.home import Home
from tabard.settings import Settings

_log = logging.getLogger(__name__)


class Sampling:
    """All samplers of one agent; `written` is called after each sample."""

    def __init__(
        self,
        home: Home,
        settings: Settings,
        loop: Loop,
        clock: Clock,
        journal: Journal,
        written: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.lost = 0
        """Samples that could not be taken, or not be journaled."""
        self._loop = loop
        self._clock = clock
        self._journal = journal
        self._written = written
        self._host = HostSampler(clock)
        self._processes = ProcessSampler(clock)
        self._links = LinksSampler(home)

    def start(self) -> None:
        """The first of each, and then one after each pause."""
        self._sample_host()
        self._sample_processes()
        self._sample_links()

    def _again(self, setting: str, callback: Callable[[], None]) -> None:
        self._loop.call_at(self._loop.now() + self.settings.seconds(setting), callback)

    def _sample_host(self) -> None:
        self._again("agent.sample_host", self._sample_host)
        try:
            sample = self._host.sample()
        except OSError as error:
            self._none("host", error)
        else:
            self._keep("host", sample)

    def _sample_processes(self) -> None:
        self._again("agent.sample_processes", self._sample_processes)
        try:
            for data in self._processes.scan(full_every=self.settings.seconds("agent.sample_full")):
                self._keep("processes", data)
        except OSError as error:
            self._none("processes", error)

    def _sample_links(self) -> None:
        self._again("agent.sample_links", self._sample_links)
        sample = self._links.sample(self.settings)
        if sample is not None:
            self._keep("links", sample)

    def _none(self, kind: str, error: OSError) -> None:
        """The host could not be read, out of descriptors perhaps: this sample is lost, the agent goes on."""
        _log.warning("no sample of the %s this time: %s", kind, error)
        self.lost += 1

    def _keep(self, kind: str, data: Mapping[str, Any]) -> None:
        body = pack([("sampler", None, "sampler", [(self._clock.wall(), kind, data)])])
        try:
            self._journal.append(body, 1, {})
        except JournalError:
            self.lost += 1  # the next sample says how things are then; `status` says how many are missing
        self._written()
