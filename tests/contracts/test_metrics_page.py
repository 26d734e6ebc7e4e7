"""The page of metrics and the alerts name only metrics that exist."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from calyapp import metrics

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "caly-alerts.yml").read_text())["groups"][0]["rules"]


def test_the_page_equals_the_output_of_make_docs():
    printed = subprocess.run(
        [sys.executable, "docs/metrics.py"],
        cwd=ROOT,
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert (ROOT / "docs" / "metrics.md").read_text() == printed


def test_every_metric_has_a_description():
    for name, _, _, sentence in metrics.catalogue():
        assert name.startswith("caly_")
        assert re.fullmatch(r"[A-Z].*\.", sentence), name


def test_no_label_identifies_a_client_or_caller():
    closed = {"anomaly", "endpoint", "method", "outcome", "pattern", "pool", "profile", "result", "route", "severity"}
    closed |= {"lane", "state", "statement", "status", "verdict"}

    assert {label for _, _, labels, _ in metrics.catalogue() for label in labels} <= closed


def test_alerts_use_metrics_and_labels_of_the_catalogue():
    known = {name: set(labels) for name, _, labels, _ in metrics.catalogue()}

    for rule in RULES:
        expression = rule["expr"]
        asked = {name.removesuffix("_bucket") for name in re.findall(r"caly_\w+", expression)}
        selected = set(re.findall(r"(\w+)=~?\"", expression)) - {"job"}
        assert asked <= set(known), rule["alert"]
        assert selected <= set().union(*(known[name] for name in asked)), rule["alert"]


def test_alerts_explain_the_problem_and_the_remedy():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
