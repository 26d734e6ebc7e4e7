from calyapp.anomaly.values import Inspected, notable, pairs


class TestNotable:
    def test_are_found_in_every_part_of_a_request(self):
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

    def test_are_names_too_which_are_then_not_told(self):
        assert list(notable(Inspected(form=(("a;b", "c;d"),)))) == [("form.*", "a;b"), ("form.*", "c;d")]

    def test_are_names_without_the_rest_of_an_ampersand(self):
        assert list(notable(Inspected(query=(("amp;type", "a"),)))) == []

    def test_are_members_of_json_in_a_text(self):
        request = Inspected(form=(("CustomField", '{"a": [1, {"b": "c;d"}], "e": "f"}'),))

        assert list(notable(request)) == [("form.CustomField.a[1].b", "c;d")]

    def test_are_the_whole_of_broken_json(self):
        assert list(notable(Inspected(form=(("a", "{'b;"),)))) == [("form.a", "{'b;")]

    def test_are_cookies_one_by_one(self):
        request = Inspected(headers={"cookie": "session=abc; note=a'b; other=1"})

        assert [value for _, value in notable(request)] == ["a'b"]

    def test_are_what_stands_behind_an_agents_products(self):
        request = Inspected(headers={"user-agent": "Mozilla/5.0 (X11; Linux) ;id"})

        assert [value for _, value in notable(request)] == ["Mozilla/5.0 (X11; Linux) ;id", ";id"]

    def test_are_words_within_a_path(self):
        assert ("path", "a;b") in notable(Inspected(path="/calls/a;b/timeline"))

    def test_are_the_parameters_of_an_address(self):
        request = Inspected(headers={"referer": "https://x.example/?a=1&b=c%3Bd"})

        assert ("header.referer", "c;d") in notable(request)

    def test_are_no_secrets(self):
        assert list(notable(Inspected(headers={"authorization": "Basic a;b=="}))) == []
