from calyapp.doctor.deployment import all_checks


class TestChecks:
    def test_have_names_of_their_own_and_need_only_what_comes_before(self, services_without_database):
        checks = all_checks(services_without_database, "https://caly.example", None)

        names = [check.name for check in checks]
        assert len(set(names)) == len(names)
        for place, check in enumerate(checks):
            assert check.needs in ("", *names[:place])

    def test_of_the_front_want_an_address(self, services_without_database):
        (last,) = list(all_checks(services_without_database, None, None)[-1].run())

        assert "--url" in last.remedy
