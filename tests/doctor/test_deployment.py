from calyapp.doctor.deployment import all_checks


class TestChecks:
    def test_have_unique_names_and_need_only_earlier_checks(self, services_without_database):
        checks = all_checks(services_without_database, "https://caly.example", None)

        names = [check.name for check in checks]
        assert len(set(names)) == len(names)
        for index, check in enumerate(checks):
            assert check.needs in ("", *names[:index])

    def test_of_nginx_ask_for_an_address(self, services_without_database):
        (last,) = list(all_checks(services_without_database, None, None)[-1].run())

        assert "--url" in last.remedy
