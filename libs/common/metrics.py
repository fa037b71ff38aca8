"""Every Prometheus series of the system, declared once. Times are in seconds."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

BUS_CALLS = Histogram(
    "presence_bus_call_seconds", "A call over the bus, as its caller saw it.", ("operation", "code"), buckets=_FAST
)
BUS_CONNECTS = Counter(
    "presence_bus_connects_total", "Connections made to the broker; more than one means it was lost."
)
EVENTS_PUBLISHED = Counter(
    "presence_events_published_total", "Log rows handed to the broker.", ("path",)
)  # commit | sweep
EVENTS_HANDLED = Counter("presence_events_handled_total", "Events a consumer finished with.", ("group", "outcome"))
SHARED_ANSWERS = Counter(
    "presence_shared_answers_total",
    "What may be shared: there (hit), or asked for (miss).",
    ("operation", "outcome"),
)
HTTP_REQUESTS = Histogram("presence_http_request_seconds", "A REST request.", ("operation", "status"), buckets=_FAST)
SOCKETS = Gauge("presence_sockets", "Sockets connected to this replica.")
MEMBERS = Gauge("presence_members", "Sockets of this replica that are in a space.")
DELIVERIES = Counter("presence_socket_deliveries_total", "Socket events written, by name.", ("event",))
GAPS = Counter("presence_event_gaps_total", "Times a replica fetched missing events from the log.")
DROPPED = Counter("presence_sockets_dropped_total", "Sockets disconnected for cause.", ("reason",))
POSE_TICK = Histogram("presence_pose_tick_seconds", "Work of one pose tick.", buckets=_FAST)
WEBHOOK_ATTEMPTS = Histogram("presence_webhook_attempt_seconds", "A POST to a subscriber.", ("outcome",))
# With labels, so that only the dispatcher shows them. All but `in_flight` are the database's, the same of each process.
WEBHOOK_DELIVERIES = Gauge(
    "presence_webhook_deliveries", "Deliveries: pending, in_flight of this process, dead in the last day.", ("state",)
)
WEBHOOK_OLDEST = Gauge(
    "presence_webhook_oldest_due_seconds", "For how long the oldest delivery is due.", ("endpoints",)
)  # answering | probed
WEBHOOK_SUBSCRIPTIONS = Gauge(
    "presence_webhook_subscriptions", "Subscriptions.", ("state",)
)  # active | unverified | disabled
SYNC_RUNS = Histogram("presence_sync_run_seconds", "One table's sync.", ("table", "outcome"))
SYNC_LAG = Gauge("presence_sync_lag_seconds", "Age of a table's last complete run.", ("table",))
SYNC_SKIPPED = Gauge(
    "presence_sync_skipped_rows",
    "Rows of the primary that could not be read, in the last whole pass and since.",
    ("table",),
)
SYNC_MISSED = Gauge(
    "presence_sync_missed_rows",
    "Rows that a proof found to differ, and no cycle had noticed.",
    ("table",),
)
WEBRTC_REPORTS = Counter(
    "presence_webrtc_reports_total", "Connection attempts, as clients report them.", ("outcome", "path")
)
PRUNED = Counter("presence_pruned_rows_total", "Rows deleted since their time was over.", ("table",))
LOG_MONTHS_DROPPED = Counter("presence_log_months_dropped_total", "Months of the log that went as a whole.")
LOG_UNPUBLISHED = Gauge(
    "presence_log_unpublished_events", "Events older than the log's days that the broker never took: they keep a month."
)
TABLE_BYTES = Gauge("presence_table_bytes", "A table with its indexes and partitions.", ("table",))
# With a label, so that only the process that makes backups shows them.
BACKUP_AGE = Gauge("presence_backup_age_seconds", "Age of the newest backup, and of the last good drill.", ("of",))
BACKUP_BYTES = Gauge("presence_backup_bytes", "Size of a backup.", ("of",))  # newest
BACKUP_FAILURES = Counter("presence_backup_failures_total", "Steps that failed.", ("step",))  # backup | upload | drill
