import pytest
import redis

from calyapp.config import Settings
from calyapp.doctor import limits
from calyapp.doctor.diagnosis import NamedCheck, Verdict, examine


def diagnosed(**environment: str):
    settings = Settings.from_env({"APP_ENV": "testing", **environment})
    (diagnosis,) = examine(limits.checks(settings))
    return diagnosis


class TestMemoryStorage:
    @pytest.mark.parametrize(("workers", "verdict"), [("1", Verdict.OK), ("2", Verdict.WARN)])
    def test_suits_only_one_worker(self, workers, verdict):
        assert diagnosed(WEB_CONCURRENCY=workers).verdict is verdict


class TestRedisStorage:
    def test_that_answers_passes(self, redis_server):
        assert diagnosed(RATELIMIT_STORAGE_URI=redis_server.url, WEB_CONCURRENCY="2").verdict is Verdict.OK

    def test_that_is_away_fails(self, redis_server):
        redis_server.stop()

        found = diagnosed(RATELIMIT_STORAGE_URI=redis_server.url)

        assert found.verdict is Verdict.FAIL
        assert "RATELIMIT_STORAGE_URI" in found.remedy

    def test_that_hangs_fails(self, redis_server):
        redis_server.hang()

        assert diagnosed(RATELIMIT_STORAGE_URI=redis_server.url).verdict is Verdict.FAIL

    def test_with_a_name_that_does_not_resolve_fails_without_showing_the_password(self):
        found = diagnosed(RATELIMIT_STORAGE_URI="redis://:canary@redis.invalid:6379/0")

        assert (found.verdict, found.found) == (
            Verdict.FAIL,
            "The host name of Redis does not resolve; each worker counts for itself",
        )
        assert "canary" not in str(found)

    def test_with_a_wrong_password_does_not_suggest_to_start_it(self, redis_server):
        with redis.Redis.from_url(redis_server.url) as client:
            client.config_set("requirepass", "right")

        found = diagnosed(RATELIMIT_STORAGE_URI=redis_server.url.replace("://", "://:wrong@"))

        assert (found.verdict, found.found.partition(";")[0]) == (
            Verdict.FAIL,
            "Redis does not accept the user or the password",
        )
        assert "start" not in found.remedy.lower()

    @pytest.mark.parametrize(("resolving", "answering", "word"), [(0.06, 0.01, "name"), (0.01, 0.06, "takes 60 ms")])
    def test_that_is_slow_to_resolve_or_to_answer_warns(self, resolving, answering, word):
        (found,) = examine([NamedCheck("it", lambda: limits.assess_speed(resolving, answering))])

        assert found.verdict is Verdict.WARN
        assert word in found.found
