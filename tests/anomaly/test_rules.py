import time
from base64 import b64encode
from urllib.parse import quote

import pytest
from anomaly_samples import CHANNELS, INJECTIONS, WORST_CASES, attacks, benign, delivery
from hypothesis import given
from hypothesis import strategies as st

from calyapp.anomaly.rules import Anomaly, Pattern, inspect, patterns
from calyapp.anomaly.values import Inspected

PADDING = 20_000
SEVERAL = st.sampled_from([(pattern, value) for pattern in INJECTIONS for value in attacks(pattern)])
# Attacks that remain attacks after other text. The others depend on their first characters.
CARRIED = {
    Pattern.SQL_INJECTION: "x' and 1=0 union select name, secret from staff -- ",
    Pattern.XSS: "<img src=x onerror=alert(1)>",
    Pattern.COMMAND_INJECTION: ";cat /etc/passwd;",
}

PROGRAM = """case $1 in
  start)
    cat /etc/app.conf | sh -e; rm -rf /tmp/app
    psql -c "select a from b union select c from pg_user where d = '' or 1 = 1 --"
    window.location.hash = document.cookie;
    ;;
esac"""


class TestRecall:
    @pytest.mark.parametrize("channel", CHANNELS)
    @pytest.mark.parametrize("pattern", INJECTIONS)
    def test_is_at_least_95_percent_for_every_pattern_and_channel(self, pattern, channel):
        values = attacks(pattern)

        missed = [value for value in values if not shows(CHANNELS[channel](value), pattern)]

        assert len(values) > 65
        assert len(missed) / len(values) <= 0.05, missed

    def test_includes_the_name_of_pattern_and_place(self):
        request = Inspected(query=(("q", "1"), ("note", "' or 1=1 --")), headers={"user-agent": "x"})

        assert inspect(request) == (Anomaly(Pattern.SQL_INJECTION, "query.note"),)

    def test_includes_values_encoded_in_base64(self):
        encoded = b64encode(b"' union select name, secret from staff --").decode()

        assert patterns(encoded) == (Pattern.SQL_INJECTION,)

    @given(SEVERAL)
    def test_does_not_depend_on_one_more_percent_encoding(self, sample):
        pattern, value = sample

        if pattern in patterns(value):
            assert pattern in patterns(quote(value, safe=""))

    @given(SEVERAL)
    def test_does_not_depend_on_case(self, sample):
        pattern, value = sample

        # Lower case changes the meaning of a base64 text.
        if pattern in patterns(value) and pattern not in patterns(value.lower()):
            assert value.isalnum() or value.endswith("=")

    @pytest.mark.parametrize("filler", ["A", " ", "x y ", "क", "0123456789", "."])
    @pytest.mark.parametrize("pattern", INJECTIONS)
    def test_does_not_depend_on_padding_before_or_after(self, pattern, filler):
        padding = filler * (PADDING // len(filler))

        assert pattern in patterns(CARRIED[pattern] + padding)
        assert pattern in patterns(padding + CARRIED[pattern])

    @pytest.mark.parametrize("pattern", INJECTIONS)
    def test_includes_attacks_across_the_end_of_a_window(self, pattern):
        for before in range(1_900, 2_300, 20):
            assert pattern in patterns("x. " * (before // 3) + CARRIED[pattern] + " x." * 3_000), before

    @pytest.mark.parametrize("pattern", INJECTIONS)
    def test_includes_attacks_at_the_edges_of_a_program(self, pattern):
        assert pattern in patterns(f"{CARRIED[pattern]}\n{PROGRAM}")
        assert pattern in patterns(f"{PROGRAM}\n{CARRIED[pattern]}")

    def test_includes_markup_within_a_page(self):
        assert patterns("<div>\n  <p>\n  <img src=x onerror=alert(1)>\n  </p>\n</div>") == (Pattern.XSS,)


class TestFalsePositives:
    def test_do_not_include_a_program(self):
        assert patterns(PROGRAM) == ()

    @pytest.mark.parametrize(("kind", "most"), [("deliveries", 0.01), ("web", 0.01), ("code", 0.03)])
    def test_are_rare(self, kind, most):
        requests = benign()[kind]

        wrong = [request for request in requests if inspect(request)]

        assert len(wrong) / len(requests) <= most, wrong

    def test_are_measured_on_more_than_300_requests(self):
        assert sum(map(len, benign().values())) > 300

    def test_do_not_include_a_delivery_without_a_note(self):
        assert inspect(delivery()) == ()

    @given(st.from_regex(r"\+?[0-9]{1,18}|[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", fullmatch=True))
    def test_do_not_include_numbers_and_ids(self, value):
        assert patterns(value) == ()

    @given(st.datetimes())
    def test_do_not_include_dates(self, moment):
        shapes = "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "%d/%m/%Y", "%a, %d %b %Y %H:%M:%S +0530"

        assert not any(patterns(moment.strftime(shape)) for shape in shapes)

    @given(st.text(st.characters(min_codepoint=0x900, max_codepoint=0x97F, categories=["L", "M", "N"])))
    def test_do_not_include_hindi(self, words):
        assert patterns(words) == ()


class TestShape:
    def test_is_an_anomaly_without_a_user_agent(self):
        assert inspect(Inspected(headers={"user-agent": " "})) == (
            Anomaly(Pattern.MISSING_USER_AGENT, "header.user-agent"),
        )

    def test_is_accepted_without_a_user_agent_if_none_is_required(self):
        assert inspect(Inspected(needs_user_agent=False)) == ()

    def test_is_an_anomaly_if_the_request_is_too_large(self):
        request = Inspected(octets=70_000, headers={"user-agent": "x"})

        assert inspect(request) == (Anomaly(Pattern.OVERSIZED_REQUEST, "request"),)

    def test_is_an_anomaly_with_proxy_headers_from_an_untrusted_peer(self):
        headers = {"user-agent": "x", "x-original-url": "/admin"}

        assert inspect(Inspected(headers=headers)) == (Anomaly(Pattern.SUSPICIOUS_HEADERS, "header.x-original-url"),)
        assert inspect(Inspected(headers=headers, is_trusted=True)) == ()


class TestWork:
    @given(st.text())
    def test_ends_without_an_error_for_every_text(self, value):
        inspect(Inspected(value, ((value, value),), {"cookie": value, "x": value}, ((value, value),), [value]))

    @given(st.binary())
    def test_ends_without_an_error_for_all_bytes(self, octets):
        patterns(octets.decode("utf-8", "surrogateescape"))
        patterns(quote(octets))

    @pytest.mark.parametrize("unit", WORST_CASES)
    def test_grows_at_most_linearly_with_the_value(self, unit):
        short, long = (unit * (size // len(unit)) for size in (16_384, 65_536))

        ratio = best_seconds(long) / max(best_seconds(short), 0.001)

        assert ratio < 12, "four times the value, three times as much for a loaded machine"

    def test_is_bounded_for_all_values_of_a_request_together(self):
        value = "x. " * 5_000 + ";"
        last = "last", CARRIED[Pattern.XSS]
        long = Inspected(form=(*((f"n{n}", value) for n in range(10)), last), headers={"user-agent": "x"})
        many = Inspected(form=(*((f"n{n}", "x;") for n in range(2_000)), last), headers={"user-agent": "x"})

        assert inspect(long) == inspect(many) == ()


def shows(request: Inspected, pattern: Pattern) -> bool:
    return pattern in {finding.pattern for finding in inspect(request)}


def best_seconds(value: str) -> float:
    seconds = []
    for _ in range(3):
        began = time.process_time()
        patterns(value)
        seconds.append(time.process_time() - began)
    return min(seconds)
