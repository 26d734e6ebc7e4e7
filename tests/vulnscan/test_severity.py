import pytest
from hypothesis import given
from hypothesis import strategies as st

from calyapp.vulnscan import severity
from calyapp.vulnscan.severity import Severity

# From the examples that FIRST publishes with the specification of CVSS 3.1.
PUBLISHED = {
    "CVE-2013-1937": ("AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
    "CVE-2013-0375": ("AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
    "CVE-2014-3566": ("AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
    "CVE-2012-1516": ("AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
    "CVE-2009-0783": ("AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", 4.2),
    "CVE-2012-0384": ("AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 8.8),
    "CVE-2015-1098": ("AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),
    "CVE-2014-0160": ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
    "CVE-2014-6271": ("AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
    "CVE-2008-1447": ("AV:N/AC:H/PR:N/UI:N/S:C/C:N/I:H/A:N", 6.8),
    "CVE-2014-2005": ("AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 6.8),
    "CVE-2010-0467": ("AV:N/AC:L/PR:N/UI:N/S:C/C:L/I:N/A:N", 5.8),
    "CVE-2014-9253": ("AV:N/AC:L/PR:L/UI:R/S:C/C:L/I:L/A:N", 5.4),
    "CVE-2011-1265": ("AV:A/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 8.8),
    "CVE-2013-6014": ("AV:A/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:H", 9.3),
    "CVE-2014-0224": ("AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N", 7.4),
    "no impact": ("AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
    "highest score": ("AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
}
VECTORS = st.tuples(
    *(
        st.sampled_from([f"{metric}:{value}" for value in values])
        for metric, values in [("AV", "NALP"), ("AC", "LH"), ("PR", "NLH"), ("UI", "NR"), ("S", "UC")]
        + [(loss, "HLN") for loss in "CIA"]
    )
).map(lambda metrics: "CVSS:3.1/" + "/".join(metrics))


class TestBaseScore:
    @pytest.mark.parametrize(("metrics", "score"), PUBLISHED.values(), ids=PUBLISHED)
    def test_is_the_published_one(self, metrics, score):
        assert severity.base_score(f"CVSS:3.1/{metrics}") == score
        assert severity.base_score(f"CVSS:3.0/{metrics}") == score

    def test_ignores_metrics_that_are_not_base_metrics(self):
        assert severity.base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O") == 9.8

    @given(VECTORS)
    def test_has_one_decimal_between_0_and_10(self, vector):
        score = severity.base_score(vector)

        assert 0 <= score <= 10
        assert round(score, 1) == score

    @pytest.mark.parametrize(
        "vector",
        [
            "",
            "9.8",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
            "AV:N/AC:L/Au:N/C:P/I:P/A:P",
            "CVSS:3.1/AV:N",
            "CVSS:3.1/AV:X/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:X/C:H/I:H/A:H",
        ],
    )
    def test_refuses_anything_else(self, vector):
        with pytest.raises(ValueError, match="vector"):
            severity.base_score(vector)


class TestOfRecord:
    @pytest.mark.parametrize(
        ("word", "expected"),
        [("LOW", "LOW"), ("MODERATE", "MEDIUM"), ("high", "HIGH"), ("CRITICAL", "CRITICAL"), ("grave", "UNKNOWN")],
    )
    def test_reads_the_word_of_the_publisher(self, word, expected):
        assert severity.of_record({"database_specific": {"severity": word}}) == expected

    def test_reads_the_vector(self):
        vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"

        assert severity.of_record({"severity": [{"type": "CVSS_V3", "score": vector}]}) is Severity.HIGH
        assert severity.of_record({"affected": [{"severity": [{"score": vector}]}]}) is Severity.HIGH

    def test_is_the_worst_in_the_record(self):
        record = {
            "database_specific": {"severity": "LOW"},
            "severity": [{"score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        }

        assert severity.of_record(record) is Severity.CRITICAL

    def test_reads_the_word_beside_a_vector_of_version_4(self):
        record = {"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L"}]}

        assert severity.of_record(record) is Severity.UNKNOWN
        assert severity.of_record(record | {"database_specific": {"severity": "MODERATE"}}) is Severity.MEDIUM

    @given(
        st.dictionaries(
            st.sampled_from(["severity", "affected", "database_specific"]),
            st.recursive(
                st.none() | st.integers() | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["severity", "score", "x"]), inner),
            ),
        )
    )
    def test_accepts_any_json(self, record):
        assert severity.of_record(record) in set(Severity)


class TestUrgency:
    def test_sorts_unknown_before_medium(self):
        assert sorted(Severity, key=severity.urgency) == ["CRITICAL", "HIGH", "UNKNOWN", "MEDIUM", "LOW"]
