"""The page of metrics and the alerts speak of the metrics that there are."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

from calyapp import metrics

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "deploy" / "prometheus" / "caly-alerts.yml").read_text())["groups"][0]["rules"]


def test_the_page_is_what_make_docs_prints():
    printed = subprocess.run(
        [sys.executable, "docs/metrics.py"],
        cwd=ROOT,
        env={"PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert (ROOT / "docs" / "metrics.md").read_text() == printed


def test_every_metric_says_in_a_sentence_what_it_counts():
    for name, _, _, sentence in metrics.catalogue():
        assert name.startswith("caly_")
        assert re.fullmatch(r"[A-Z].*\.", sentence), name


def test_no_label_could_tell_one_client_or_caller_from_another():
    closed = {"anomaly", "endpoint", "method", "outcome", "pattern", "pool", "profile", "result", "route", "severity"}
    closed |= {"lane", "state", "statement", "status", "verdict"}

    assert {label for _, _, labels, _ in metrics.catalogue() for label in labels} <= closed


def test_alerts_ask_for_metrics_and_labels_of_the_catalogue():
    known = {name: set(labels) for name, _, labels, _ in metrics.catalogue()}

    for rule in RULES:
        expression = rule["expr"]
        asked = {name.removesuffix("_bucket") for name in re.findall(r"caly_\w+", expression)}
        selected = set(re.findall(r"(\w+)=~?\"", expression)) - {"job"}
        assert asked <= set(known), rule["alert"]
        assert selected <= set().union(*(known[name] for name in asked)), rule["alert"]


def test_alerts_say_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
