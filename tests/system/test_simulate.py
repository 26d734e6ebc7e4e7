import json
import subprocess
import sys

import pytest
from running_server import ROOT, Server


@pytest.fixture
def simulate():
    """`simulate(server, tenant, *options)` returns the exit code, the report and all output."""

    def run(server: Server, tenant: dict, *options: str) -> tuple[int, dict, str]:
        given = ("--base-url", f"http://127.0.0.1:{server.port}", "--key", tenant["webhookKey"])
        command = [
            sys.executable,
            "-m",
            "flask",
            "caly",
            "simulate",
            *given,
            "--number",
            tenant["numbers"][0],
            *options,
        ]
        done = subprocess.run(
            [*command, "--json"], cwd=ROOT, env=server.environment, capture_output=True, text=True, check=False
        )
        return done.returncode, json.loads(done.stdout or "{}"), done.stdout + done.stderr

    return run


def test_sixty_calls_out_of_order_with_repeats_and_losses_end_without_a_difference(serve, tenant, simulate, query):
    server = serve("--workers", "2")
    asha = tenant(server)

    code, report, printed = simulate(
        server, asha, *("--calls", "60", "--shuffle", "--duplicate", "20%", "--drop", "10%", "--concurrency", "8")
    )

    assert (code, report["differences"]) == (0, []), printed
    assert list(report) == ["calls", "deliveries", "differences", "p50ms", "p99ms"]
    assert report["calls"] == 60
    assert 0 < report["p50ms"] <= report["p99ms"]
    assert asha["webhookKey"] not in printed
    ((stored, repeats),) = query("SELECT count(*), sum(repeats) FROM deliveries")
    assert 0 < stored + repeats <= report["deliveries"]


def test_waits_for_deferred_deliveries(serve, tenant, simulate):
    server = serve(RATELIMIT_WEBHOOK="8/hour")
    asha = tenant(server)

    code, report, printed = simulate(server, asha, "--calls", "24", "--concurrency", "8")

    assert (code, report["differences"]) == (0, []), printed
    results = server.ask("GET", "/health/metrics")[1]["deliveries"].values()
    assert sum(counted.get("deferred", 0) for counted in results) > 0


def test_names_a_call_that_was_changed_directly_in_the_database(serve, tenant, simulate, query):
    server = serve()
    asha = tenant(server)
    query(
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN NEW.phone_from := '+919999999999'; RETURN NEW; END $$"
    )
    query("CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON calls FOR EACH ROW EXECUTE FUNCTION spoil()")

    code, report, printed = simulate(server, asha, "--calls", "1", "--seed", "7", "--settle", "0")

    assert code == 1, printed
    ((call_sid,),) = query("SELECT call_sid FROM calls")
    (named,) = report["differences"]
    assert (named["callSid"], named["field"], named["found"]) == (call_sid, "phone_from", "*********99")
    assert "9999999999" not in printed


def test_reports_a_server_that_accepts_nothing(serve, tenant, simulate):
    server = serve()
    asha = tenant(server)

    code, report, printed = simulate(server, {**asha, "webhookKey": "cwk_wrong-canary"}, "--calls", "1")

    assert (code, report["differences"]) == (1, [])
    assert "No delivery was acknowledged" in printed
    assert "canary" not in printed
