"""Names that vulture cannot see in use, each for a reason. What is not here and not used is dead and goes."""

# Read by name by the library that they are written for.
_.ensure_ascii, _.sort_keys, _.merge_slashes, _.url_rule_class  # Flask
_.convert  # click: a parameter type's one method
_.ValueClass  # prometheus-client: where it takes the storage of its metrics from
_.Meta, _.unknown, _.CallSid, _.From, _.To, _.CallStatus, _.CallDuration  # marshmallow: options and fields
_.RecordingUrl, _.RecordingDuration
_.refuse_old, _.note_idle, _.count_open, _.count_closed, _.end, _.failed  # SQLAlchemy: listeners, by decorator
_.worker_class, _.graceful_timeout, _.max_requests, _.max_requests_jitter, _.limit_request_line  # Gunicorn
(
    _.threads,
    _.timeout,
    _.accesslog,
    _.forwarded_allow_ips,
    _.control_socket_disable,
    _.post_worker_init,
    _.worker_exit,
    _.on_exit,
)

# Commands, by decorator.
_.list_clients, _.show, _.demo

# Views, by the name of their route.
_.call_start, _.call_status, _.call_end, _.recording, _.passthru, _.heartbeat

# Fields of a view of a call, by the list of all fields.
_.phone_from, _.phone_to, _.direction, _.start_ts, _.end_ts, _.recording_url

# Words of closed vocabularies, by their value.
_.WARN, _.API

# Tables that only the migrations' check compares; their statements are text.
_.client_numbers, _.calls, _.audit_logs

# Settings that operators are promised: checked at start, so that an environment file stays good over upgrades.
_.secret_key, _.encryption_key, _.encryption_key_previous, _.spool_dir, _.spool_max_mb
_.ratelimit_storage_uri, _.ratelimit_login, _.ratelimit_api, _.ratelimit_webhook, _.ratelimit_upload

# The outside is promised all eight errors; these three are raised by nothing yet.
_.AuthorizationError, _.RateLimitError, _.ExternalServiceError
