from calyapp.anomaly.values import Inspected, notable, pairs


class TestNotable:
    def test_values_come_from_every_part_of_a_request(self):
        request = Inspected(
            path="/calls/a;b",
            query=(("q", "c;d"),),
            headers={"x-note": "e;f"},
            form=(("note", "g;h"),),
            json=pairs([("a", pairs([("b", [1, None, "i;j"])])), ("a", "k;l")]),
        )

        assert list(notable(request)) == [
            ("path", "/calls/a;b"),
            ("path", "a;b"),
            ("query.q", "c;d"),
            ("form.note", "g;h"),
            ("json.a.b[2]", "i;j"),
            ("json.a", "k;l"),
            ("header.x-note", "e;f"),
        ]

    def test_values_include_names_and_do_not_repeat_them_in_places(self):
        assert list(notable(Inspected(form=(("a;b", "c;d"),)))) == [("form.*", "a;b"), ("form.*", "c;d")]

    def test_values_exclude_names_that_result_from_an_escaped_ampersand(self):
        assert list(notable(Inspected(query=(("amp;type", "a"),)))) == []

    def test_values_include_members_of_json_in_a_text(self):
        request = Inspected(form=(("CustomField", '{"a": [1, {"b": "c;d"}], "e": "f"}'),))

        assert list(notable(request)) == [("form.CustomField.a[1].b", "c;d")]

    def test_values_include_invalid_json_as_a_whole(self):
        assert list(notable(Inspected(form=(("a", "{'b;"),)))) == [("form.a", "{'b;")]

    def test_values_include_single_cookies(self):
        request = Inspected(headers={"cookie": "session=abc; note=a'b; other=1"})

        assert [value for _, value in notable(request)] == ["a'b"]

    def test_values_include_text_after_the_products_of_a_user_agent(self):
        request = Inspected(headers={"user-agent": "Mozilla/5.0 (X11; Linux) ;id"})

        assert [value for _, value in notable(request)] == ["Mozilla/5.0 (X11; Linux) ;id", ";id"]

    def test_values_include_segments_of_a_path(self):
        assert ("path", "a;b") in notable(Inspected(path="/calls/a;b/timeline"))

    def test_values_include_the_parameters_of_a_url(self):
        request = Inspected(headers={"referer": "https://x.example/?a=1&b=c%3Bd"})

        assert ("header.referer", "c;d") in notable(request)

    def test_values_exclude_secrets(self):
        assert list(notable(Inspected(headers={"authorization": "Basic a;b=="}))) == []
