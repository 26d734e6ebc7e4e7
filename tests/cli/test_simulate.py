import pytest

NUMBER = "+918047112345"


class TestSimulate:
    """No server listens here, and nothing is sent. The system tests simulate against a running server."""

    def simulate(self, caly, *options: str):
        fixed = ("--base-url", "http://127.0.0.1:1", "--key", "cwk_canary", "--number", NUMBER)
        return caly("simulate", *fixed, *options)

    @pytest.mark.parametrize("share", ["101%", "-1%", "some", "%", "1.5%", "²%"])
    def test_exits_with_2_for_an_invalid_share(self, caly, share):
        result = self.simulate(caly, f"--drop={share}")

        assert result.exit_code == 2
        assert "is not between 0% and 100%." in result.stderr

    @pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://here", "http://user@here", "http://here/?a=b"])
    def test_exits_with_2_for_an_invalid_base_url(self, caly, url):
        result = self.simulate(caly, "--base-url", url)

        assert result.exit_code == 2
        assert "Invalid value for '--base-url': must be a URL such as https://caly.example" in result.stderr

    def test_exits_with_2_for_an_invalid_database_url_and_does_not_repeat_it(self, caly):
        result = self.simulate(caly, "--database-url", "mysql://u:canary@h/d")

        assert result.exit_code == 2
        assert "postgresql://" in result.stderr
        assert "canary" not in result.stderr

    def test_exits_with_1_for_a_number_without_a_client(self, caly):
        result = self.simulate(caly)

        assert (result.exit_code, result.stderr) == (1, "Error: No client in this database has the number.\n")

    @pytest.mark.usefixtures("asha")
    def test_exits_with_1_without_an_answer_and_prints_no_key(self, caly):
        result = self.simulate(caly, "--calls", "1", "--compress", "1000000", "--seed", "7")

        assert result.exit_code == 1
        assert "No delivery was acknowledged" in result.stderr
        assert dict(line.split(maxsplit=1) for line in result.stdout.splitlines()) == {
            "calls": "1",
            "deliveries": "4",
            "differences": "0",
            "p50ms": "-",
            "p99ms": "-",
            "answers": "no answer × 12",
            "seed": "7",
        }
        assert "canary" not in result.output

    @pytest.mark.usefixtures("asha")
    def test_compares_with_the_given_database(self, caly, empty_database_url):
        result = self.simulate(caly, "--database-url", empty_database_url)

        assert (result.exit_code, result.stdout) == (1, "")
