"""Names whose use vulture cannot see, with the reason. Other unused names are dead code and must be deleted."""

# Read by name by the library that is given in the comment.
_.ensure_ascii, _.sort_keys, _.merge_slashes, _.url_rule_class, _.max_content_length  # Flask
_.implicit_sequence_conversion  # Werkzeug
_.convert, _.normalize_choice  # click: overrides of a parameter type
_.ValueClass  # prometheus-client: the storage of its metrics
_.Meta, _.unknown, _.exclude, _.CallSid, _.From, _.To, _.CallStatus, _.CallDuration  # marshmallow: options and fields
_.RecordingUrl, _.RecordingDuration, _.error_messages, _._keep_repeated, _._refuse_the_same, _._refuse_empty_span
_._refuse_long_spans, _.on_bind_field, _._serialize, _.timeline_truncated, _.severities, _.statuses, _.days, _.as_of
_.not_tried, _.complete, _.summary, _.rows, _.line, _.new, _.repeat, _.rejected, _.result, _._flatten
_.rev_id  # Alembic: the number of a new revision
_.refuse_old, _.note_idle, _.count_open, _.count_closed, _.end, _.failed  # SQLAlchemy: listeners, by decorator
_.worker_class, _.graceful_timeout, _.max_requests, _.max_requests_jitter, _.limit_request_line  # Gunicorn
(
    _.threads,
    _.timeout,
    _.keepalive,
    _.accesslog,
    _.forwarded_allow_ips,
    _.secure_scheme_headers,
    _.forwarder_headers,
    _.control_socket_disable,
    _.preload_app,
    _.on_starting,
    _.when_ready,
    _.post_worker_init,
    _.worker_exit,
    _.on_exit,
)

# Columns of the audit log, which `Entry.parameters` reads by name.
_.resource, _.resource_id

# Used by docs/metrics.py, which writes the page of metrics.
_.catalogue

# Commands, by decorator.
(
    _.list_clients,
    _.list_quarantined,
    _.show_quarantined,
    _.show,
    _.demo,
    _.list_users,
    _.list_keys,
    _.census,
    _.check_token,
    _.connect_exotel,
    _.disconnect_exotel,
    _.list_calls,
    _.show_call,
    _.rebuild_calls,
    _.import_calls,
    _.list_events,
    _.show_event,
    _.simulate,
    _.doctor,
    _.scan,
)

# Fields of a view of a call, by the list of all fields.
_.phone_from, _.phone_to, _.direction, _.start_ts, _.end_ts, _.recording_url

# Members of enumerations, used by their value.
_.WARN, _.API, _.SUCCESS, _.FAILURE, _.AUDITOR

# Tables that only the check of the migrations compares. Their statements are text.
_.client_numbers, _.api_keys, _.audit_counts_daily, _.audit_counts_pending

# Columns of a row and fields of a schema, used by their names.
_.current_password, _.new_password, _.has_recording
_.success, _.updated_at, _.spoken, _.voice, _.language, _.track, _.attributes
_.response_time, _.uptime_seconds, _.requests, _.error_rate, _.slow_requests, _.memory_bytes, _.status_type

# The contract has eight errors. No code raises this one yet.
_.ExternalServiceError

# The catalogue of validators is complete, although the routes use only some of them.
_.ProfileSchema, _.time_zone
_.alphanumeric, _.no_special_characters, _.array, _.strip_control_characters

# Gunicorn: the class by its path in gunicorn.conf.py, its method by override.
_.Worker, _.handle_error, _._keepalive_after

# sqlite3 uses it to decode text; the fields of a row are bound by position.
_.text_factory, _.not_before
