"""`flask caly scan`: checks the packages that Caly depends on for known vulnerabilities."""

from pathlib import Path
from typing import Any

import click

from calyapp.audit import audit_log
from calyapp.audit.audit_log import Entry
from calyapp.audit.events import EventType
from calyapp.cli.command import as_json, services
from calyapp.cli.output import print_record, print_rows
from calyapp.cli.parameters import WEB_ADDRESS
from calyapp.db import connection_errors
from calyapp.errors import DatabaseError
from calyapp.vulnscan import archive
from calyapp.vulnscan import scan as vulnerabilities
from calyapp.vulnscan.advisories import AdvisoryService
from calyapp.vulnscan.report import Report, ScanStatus

_REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
_COLOURS = {
    ScanStatus.PASSED: "green",
    ScanStatus.WARNING: "yellow",
    ScanStatus.INCOMPLETE: "yellow",
    ScanStatus.FAILED: "red",
}


@click.command()
@click.option(
    "--requirements",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=_REQUIREMENTS,
    show_default="Caly's own requirements.txt",
    help="The requirements file to check; it must have hashes.",
)
@click.option(
    "--osv-url",
    type=WEB_ADDRESS,
    default="https://api.osv.dev",
    show_default=True,
    help="The advisory service: OSV, or one with the same API.",
)
@as_json
def scan(requirements: Path, osv_url: str, as_json: bool) -> None:
    """Check dependencies for known vulnerabilities, and store the report. Exit code 1 unless PASSED."""
    if not as_json:
        click.echo(f"Asking {osv_url} …", err=True)
    report = vulnerabilities.scan(requirements, AdvisoryService(osv_url))
    stored = _store(report)  # before printing: a closed pipe (`| head -1`) ends the command
    _audit(report)
    if as_json:
        print_record(report.as_json(), as_json)
    else:
        _print(report)
    if report.status is not ScanStatus.PASSED or not stored:
        raise SystemExit(1)


def _print(report: Report) -> None:
    counts = ", ".join(f"{count} {severity}" for severity, count in report.counts().items() if count)
    outdated = "unknown" if report.outdated is None else len(report.outdated)
    none = "none" if report.packages else "unknown, because nothing was checked"
    click.echo(
        f"{click.style(report.status, fg=_COLOURS[report.status])}: known vulnerabilities: {counts or none}; "
        f"packages checked: {report.packages}, skipped: {len(report.skipped)}, outdated: {outdated}"
    )
    if not report.complete:
        click.echo("Not everything was checked, so there may be more vulnerabilities.")
    for line in (*report.problems, *report.notes):
        click.echo(f"  {line}")
    _print_section("Known vulnerabilities", [_row(finding) for finding in report.as_json()["findings"]])
    _print_section("Not checked", report.as_json()["skipped"])
    _print_section("Outdated", report.as_json()["outdated"])


def _row(finding: dict[str, Any]) -> dict[str, Any]:
    return {name: finding[name] for name in ("severity", "package", "id", "remedy")}


def _print_section(title: str, rows: list[dict[str, Any]]) -> None:
    if rows:
        click.echo(f"\n{title}:")
        print_rows(rows, as_json=False)


def _store(report: Report) -> bool:
    folder = services().settings.scan_dir
    try:
        archive.keep(folder, report)
    except OSError as error:
        click.echo(
            f"The report could not be stored in {folder} ({error.strerror}). Set SCAN_DIR to a folder that this user "
            "can write to.",
            err=True,
        )
        return False
    return True


def _audit(report: Report) -> None:
    """Writes the audit entry, if it can: a scan reports vulnerabilities even while the database is away."""
    entry = Entry.now(
        EventType.VULNERABILITY_SCAN_COMPLETED,
        f"Vulnerability scan: {report.status}",
        status="success" if report.complete else "failure",
        resource="dependencies",
        metadata={"status": report.status, **report.as_json()["summary"]},
    )
    try:
        audit_log.write(services().database.records, entry)
    except DatabaseError as error:
        click.echo(f"The scan is not in the audit log. {connection_errors.explain(error)}", err=True)
