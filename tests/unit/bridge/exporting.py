"""The official exporter of OpenTelemetry, as an application would use it."""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

RESOURCE = Resource({"service.name": "shop", "service.version": "1.2", "host.name": "web1"})


class Application:
    """Logs through the SDK's batch processor and its exporter for HTTP."""

    def __init__(self, address: str, *, squeezed: bool = False) -> None:
        exporter = OTLPLogExporter(
            endpoint=f"http://{address}/v1/logs",
            compression=Compression.Gzip if squeezed else Compression.NoCompression,
            timeout=30,
        )
        self._provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
        self._provider.add_log_record_processor(BatchLogRecordProcessor(exporter, schedule_delay_millis=50))
        self._logger = self._provider.get_logger("shop.till", "3")
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    def say(self, message: Any, **attributes: Any) -> None:
        """One record."""
        self._logger.emit(
            LogRecord(
                timestamp=1_763_765_724_000_000_000,
                severity_number=SeverityNumber.WARN,
                severity_text="WARN",
                body=message,
                attributes=attributes,
            )
        )

    def end(self) -> None:
        """Send what is left."""
        self._provider.force_flush()
        self._provider.shutdown()
