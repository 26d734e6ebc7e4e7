import os
import pwd

import pytest

from calyapp.cli import person

ROOT = pwd.getpwuid(0).pw_name
UNSET = "4294967295"


@pytest.fixture
def name(tmp_path):
    """`name(loginuid, **environment)` returns the login name for a command in this process."""

    def told(login_uid: str | None, **environment: str) -> str:
        file = tmp_path / "loginuid"
        if login_uid is not None:
            file.write_text(login_uid)
        return person.login_name(environment, file)

    return told


class TestLoginName:
    def test_is_that_of_the_login_uid_even_through_sudo(self, name):
        assert name("0", SUDO_USER="asha", CALY_ACTOR="ravi") == ROOT

    def test_comes_from_the_environment_under_systemd(self, name):
        assert name(UNSET, CALY_ACTOR="ravi") == "ravi"

    @pytest.mark.parametrize("login_uid", [UNSET, None, ""])
    def test_is_that_of_sudo_without_a_login_uid(self, name, login_uid):
        assert name(login_uid, SUDO_USER="asha") == "asha"

    def test_is_that_of_the_process_without_other_sources(self, name):
        assert name(None) == pwd.getpwuid(os.geteuid()).pw_name

    def test_is_the_uid_if_the_account_was_removed(self, name):
        assert name("3999999999") == "uid 3999999999"

    def test_is_short_and_printable(self, name):
        assert name(None, CALY_ACTOR="a\x1b[31m" + "b" * 100) == "a[31m" + "b" * 59
