from marshmallow import Schema

from calyapp.web.schemas.operations import about, in_any_form, in_json


class TestContent:
    def test_in_json_has_one_media_type(self):
        assert in_json(Schema) == {"application/json": Schema}

    def test_in_any_form_has_the_same_schema_for_each(self):
        assert set(in_any_form(Schema).values()) == {Schema}
        assert len(in_any_form(Schema)) == 3


class TestAbout:
    def test_omits_absent_examples(self):
        assert about("What it is") == {"description": "What it is"}

    def test_has_examples_and_keywords(self):
        assert about("What it is", 1, 2, minimum=1) == {"description": "What it is", "examples": [1, 2], "minimum": 1}
