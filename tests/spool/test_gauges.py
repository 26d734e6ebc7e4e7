from datetime import UTC, datetime, timedelta

from calyapp import metrics
from calyapp.spool import gauges
from calyapp.spool.journal import MIN_BYTES, Journal, Lane


def test_gauges_show_what_the_journal_holds(tmp_path):
    journal = Journal(tmp_path / "spool", MIN_BYTES)
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    for _ in range(3):
        journal.append(b"frame", client_id=None, lane=Lane.AWAY, arrived_at=hour_ago)
    journal.append(b"frame", client_id=None, lane=Lane.AWAY, arrived_at=hour_ago, reason="SQLSTATE 22001")

    gauges.measure(journal)

    text = metrics.prometheus_text().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("caly_spool"))
    assert values['caly_spool_frames{state="waiting"}'] == "3.0"
    assert values['caly_spool_frames{state="quarantined"}'] == "1.0"
    assert 3_600 <= float(values['caly_spool_oldest_seconds{lane="away"}']) < 7_200
    assert values['caly_spool_oldest_seconds{lane="deferred"}'] == "0.0"
    assert float(values["caly_spool_bytes"]) == journal.status().bytes > 0
    assert float(values["caly_spool_limit_bytes"]) == MIN_BYTES
    journal.close()
