"""The one table of settings. The loader, ``tabard check``, the options and the reference come from it."""

from __future__ import annotations

from typing import Final

from tabard.home import ENVIRONMENT as HOME_VARIABLE
from tabard.settings import forms
from tabard.settings.kinds import Choice, Duration, Flag, Integer, Size, Words
from tabard.settings.schema import Broker, Link, Schema, Setting, Table, Tail, hostname

SECTIONS: Final = {
    "node": "Who this host is, and what its records say about themselves unless they say otherwise.",
    "ports": "Where the TCP ports of this home begin.",
    "agent": "The agent: what it sends, to whom, and how often it looks around.",
    "intake": "How records come in: the local socket, TCP, what applications and hosts can send already, and tailed files.",
    "journal": "What the agent keeps on disk until every sink has it. Bounded, so that it never fills the host.",
    "brokers": "What holds for every broker of this home; the brokers themselves are `[[broker]]` tables.",
    "recorder": "The recorder: the sink it works for and how it commits.",
    "store": "The databases.",
    "retention": "When stored records are deleted. The first limit that is reached counts.",
    "herald": "The web viewer.",
    "log": "What Tabard's own roles say about themselves.",
    "mail": "The mail server that applications of this host write to, and the queue while it is away.",
    "templates": "Templates of applications: where they are, and in which language.",
    "up": "What `tabard up` starts.",
}

SETTINGS: Final = (
    Setting("node.name", forms.NODE, hostname, "Name of this node; a label that must be unique in its zone."),
    Setting("node.zone", forms.ZONE, "local", "Path of the trust zone this host is in, such as `hq/dmz`."),
    Setting("node.stage", forms.STAGE, "", 'Which `[stage.NAME]` tables apply; "" for none. `DEV_STAGE` wins over it.'),
    Setting("node.product", forms.LABEL, "", "Product of records that name none."),
    Setting("node.system", forms.LABEL, "", "System of records that name none."),
    Setting("ports.base", Integer(1024, 65000), 8024, "First TCP port of this home: that of the page, unless `herald.port` says otherwise."),
    Setting("agent.sinks", Words(forms.SINK), ["main"], "Sinks that must have every record before it leaves the journal."),
    Setting("agent.linger", Duration("1ms", "1s"), "10ms", "How long a batch may wait for more records."),
    Setting("agent.batch_records", Integer(1, 256), 256, "Most records in one batch."),
    Setting("agent.beacon", Duration("1s", "1m"), "10s", "Time between two beacons."),
    Setting("agent.up", forms.ENDPOINT, "", 'Broker endpoint the up lane connects to; "" for the broker of this home.'),
    Setting("agent.down", forms.ENDPOINT, "", 'Broker endpoint the down lane connects to; "" for the broker of this home.'),
    Setting("agent.sample_host", Duration("1s", "1h"), "10s", "Time between two host samples.", reload=True),
    Setting("agent.sample_processes", Duration("1s", "1h"), "10s", "Time between two process samples.", reload=True),
    Setting("agent.sample_full", Duration("10s", "1d"), "5m", "Time between two process samples that repeat everything.", reload=True),
    Setting("agent.max_clients", Integer(1, 10_000), 256, "Most connections to the intake at a time."),
    Setting("intake.socket", Flag(), True, "Listen on `run/intake.sock`."),
    Setting("intake.shared", forms.PATH, "", 'Directory through which applications of other users may log: those who may pass through it by its group and mode; "" for none.'),
    Setting("intake.tcp", forms.HOST_PORT, "", 'Listen on this address too; "" for not at all. Use a loopback address.'),
    Setting("intake.socket_handler", forms.HOST_PORT, "", "Take the records of Python's `logging.handlers.SocketHandler` at this address; \"\" for not at all. Use a loopback address."),
    Setting("intake.syslog_tcp", forms.HOST_PORT, "", 'Take syslog over TCP at this address; "" for not at all. Use a loopback address.'),
    Setting("intake.syslog_udp", forms.HOST_PORT, "", 'Take syslog over UDP at this address; "" for not at all. Use a loopback address.'),
    Setting("intake.syslog_datagram", forms.SOCKET_PATH, "", 'Take syslog at this path, a unix datagram socket as `/dev/log`; "" for not at all.'),
    Setting("intake.syslog_stream", forms.SOCKET_PATH, "", 'Take syslog at this path, a unix stream socket; "" for not at all.'),
    Setting("intake.syslog_buffer", Size("64KiB", "1GiB"), "4MiB", "What the kernel keeps of UDP syslog until it is read; without privileges no more than `net.core.rmem_max`."),
    Setting("intake.tail_defaults", Flag(), True, "Tail the log files this host is known to have."),
    Setting("intake.tail_backlog", Size("0B", "1GiB"), "256KiB", "How much is read of a file that is there at the first start of all."),
    Setting("journal.fsync", Duration("0s", "10s"), "100ms", "Longest time a record may be lost by a power cut; a fast disk is synced more often, since only what is synced is published."),
    Setting("journal.segment", Size("64KiB", "1GiB"), "8MiB", "Size at which a new segment file begins."),
    Setting("journal.logs_bytes", Size("1MiB", "1TiB"), "1GiB", "Most disk space for log records."),
    Setting("journal.samples_bytes", Size("1MiB", "1TiB"), "128MiB", "Most disk space for samples."),
    Setting("journal.control_bytes", Size("1MiB", "1TiB"), "64MiB", "Most disk space for answers and results."),
    Setting("journal.age", Duration("1m", "3650d"), "7d", "Age at which a record that no sink took is given up."),
    Setting("journal.keep_acked", Size("0B", "1TiB"), "32MiB", "How much is kept of what every sink has, for a sink that is restored."),
    Setting("brokers.hwm", Integer(100, 1_000_000), 4000, "Messages a broker queues per connection before it drops."),
    Setting("brokers.max_frame", Size("1152KiB", "64MiB"), "2MiB", "Largest frame a broker takes from the wire."),
    Setting("recorder.sink", forms.SINK, "main", "The sink this recorder works for."),
    Setting("recorder.up", forms.ENDPOINT, "", 'Broker endpoint the up lane is read from; "" for the broker of this home.'),
    Setting("recorder.down", forms.ENDPOINT, "", 'Broker endpoint the down lane is written to; "" for the broker of this home.'),
    Setting("recorder.commit_rows", Integer(1, 65_536), 4096, "Most rows in one transaction.", reload=True),
    Setting("recorder.commit_delay", Duration("1ms", "1s"), "20ms", "Longest time rows wait for more before they are committed.", reload=True),
    Setting("recorder.credit_batches", Integer(1, 100_000), 1500, "Batches all nodes together may have on their way to this sink."),
    Setting("recorder.credit_bytes", Size("2MiB", "64GiB"), "256MiB", "Bytes all nodes together may have on their way to this sink."),
    Setting("store.path", forms.PATH, "", 'Directory of the databases; "" for `store/` in the home.'),
    Setting("store.synchronous", Choice("full", "normal"), "full", "Whether a commit waits for the disk. `normal` may lose acknowledged records in a power cut."),
    Setting("retention.logs_age", Duration("1h", "36500d"), "30d", "Age at which log records are deleted.", reload=True),
    Setting("retention.logs_bytes", Size("1MiB", "64TiB"), "10GiB", "Space log records may take.", reload=True),
    Setting("retention.samples_age", Duration("1h", "36500d"), "7d", "Age at which samples are deleted.", reload=True),
    Setting("retention.samples_bytes", Size("1MiB", "64TiB"), "2GiB", "Space samples may take.", reload=True),
    Setting("retention.versions_age", Duration("1d", "36500d"), "3650d", "Age since its last start at which it is forgotten what version and configuration a service had.", reload=True),
    Setting("retention.every", Duration("1s", "1d"), "30s", "Time between two looks at what has to go.", reload=True),
    Setting("retention.budget_rows", Integer(1, 1_000_000), 2000, "Most rows deleted in one transaction, so that ingest never waits long.", reload=True),
    Setting("herald.host", forms.HOST, "127.0.0.1", "Address herald listens on."),
    Setting("herald.port", Integer(1, 65_535), 8024, "Port herald listens on.", follows="ports.base"),
    Setting("herald.threads", Integer(1, 256), 8, "Requests served at a time, live tails included."),
    Setting("herald.page_size", Integer(1, 1000), 100, "Records on a page.", reload=True),
    Setting("herald.timezone", forms.TIMEZONE, "local", "Time zone of the times shown.", reload=True),
    Setting("log.level", Choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "Lowest level of what a role records about itself.", reload=True),
    Setting("mail.host", forms.MAIL_HOST, "", 'Mail server; "" for none: mail is an error then.'),
    Setting("mail.port", Integer(1, 65_535), 587, "Port of the mail server."),
    Setting("mail.tls", Choice("starttls", "implicit", "none"), "starttls", "How the connection is encrypted: asked for in it, from its first byte (port 465), or not at all."),
    Setting("mail.verify", Flag(), True, "Whether the server's certificate must be valid and its own."),
    Setting("mail.ca_file", forms.PATH, "", 'Certificates of the authorities that are trusted; "" for those of the system.'),
    Setting("mail.user", forms.LABEL, "", 'Who logs in; "" for nobody.'),
    Setting("mail.password", forms.LABEL, "", "Password of that user. Never sent over a connection that is not encrypted.", secret=True),
    Setting("mail.sender", forms.SENDER, "", 'Whom mail comes from; "" for the user of the process on this host.'),
    Setting("mail.to", Words(forms.ADDRESS, empty=True), [], "Who is written to when neither the application nor its stage names anybody."),
    Setting("mail.timeout", Duration("1s", "10m"), "30s", "Longest time the server may take for one answer."),
    Setting("mail.message_bytes", Size("1KiB", "256MiB"), "10MiB", "Largest mail, attachments included."),
    Setting("mail.queue_bytes", Size("64KiB", "64GiB"), "128MiB", "Most disk space for mail that waits."),
    Setting("mail.queue_mails", Integer(1, 1_000_000), 10_000, "Most mails that wait."),
    Setting("mail.age", Duration("1m", "365d"), "3d", "Age at which mail that could not be handed over is given up."),
    Setting("mail.retry", Duration("1s", "1h"), "30s", "Time after the first failure until the next try; doubled with each."),
    Setting("mail.retry_longest", Duration("1s", "1d"), "30m", "Longest time between two tries."),
    Setting("templates.path", forms.PATH, "", 'Folder of templates; "" for `templates/` in the home.'),
    Setting("templates.language", forms.LANGUAGE, "en", "Language of mails and log messages."),
    Setting("templates.default_language", forms.LANGUAGE, "en", "Language of templates that are not there in the one asked for."),
    Setting("up.brokers", Integer(1, 8), 1, "How many brokers are chained when no `[[broker]]` is described."),
)  # fmt: skip

TAIL: Final = Table(
    "intake.tail",
    Tail,
    (
        Setting("path", forms.PATTERN, None, "File, or pattern of files."),
        Setting("format", Choice("auto", "syslog", "plain"), "auto", "How a line is read."),
        Setting("multiline", forms.EXPRESSION, "", 'What the first line of a record matches; "" when each line is one.'),
        Setting("service", forms.LABEL, "", 'Service of its records; "" for the one the line or file name says.'),
        Setting("level", forms.LEVEL, "", "Level of records that say none."),
        Setting("binary", Flag(), False, "Read its files as lines also when they look like binary ones."),
    ),
    "Files whose lines become log records.",
)  # fmt: skip

LINK: Final = Table(
    "link",
    Link,
    (
        Setting("peer", forms.BROKER, None, "Name of the child broker."),
        Setting("dials", Choice("this", "peer"), "this", "Who opens the connection."),
        Setting(
            "up", forms.PEER_ENDPOINT, None, "Endpoint of the up lane, connected to by the one that dials."
        ),
        Setting(
            "down",
            forms.PEER_ENDPOINT,
            None,
            "Endpoint of the down lane, connected to by the one that dials.",
        ),
    ),
    "A child that is joined on purpose, such as one in an outer zone that must not dial inwards.",
)

BROKER: Final = Table(
    "broker",
    Broker,
    (
        Setting("name", forms.BROKER, None, "Name of the broker, unique along its chain."),
        Setting("zone", forms.ZONE, None, "Zone it forwards for."),
        Setting("up_in", forms.ENDPOINT, "", "Where children and agents hand up."),
        Setting("up_out", forms.ENDPOINT, "", "Where recorders and the parent listen."),
        Setting("down_in", forms.ENDPOINT, "", "Where commands and cursors come from."),
        Setting("down_out", forms.ENDPOINT, "", "Where children and agents listen."),
        Setting("parent", forms.PARENT, "", 'Broker this one dials, by its name in this file; "" for the top of the chain.'),
        Setting("parent_up", forms.ENDPOINT, "", "The parent's `up_in`, when the parent is not in this file."),
        Setting("parent_down", forms.ENDPOINT, "", "The parent's `down_out`, when the parent is not in this file."),
    ),
    'A broker of this home. Endpoints left "" are sockets in `run/`.',
    (LINK,),
)  # fmt: skip

SCHEMA: Final = Schema(
    SECTIONS,
    SETTINGS,
    (TAIL, BROKER),
    {
        "node.hostname": "node.name",
        "node.id": "node.name",
        "agent.sink": "agent.sinks",
        "agent.heartbeat": "agent.beacon",
        "journal.bytes": "journal.logs_bytes",
        "retention.age": "retention.logs_age",
        "retention.bytes": "retention.logs_bytes",
        "herald.bind": "herald.host",
        "herald.listen": "herald.host",
    },
    reserved=frozenset({HOME_VARIABLE, "TABARD_FAILPOINTS", "TABARD_FAILPOINT_LOG"}),
)
