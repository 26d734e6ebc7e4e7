import re
from pathlib import Path

from calyapp.audit.events import SEVERITY, EventType

PACKAGE = Path(__file__).parents[2] / "calyapp"


class TestEventType:
    def test_has_a_severity_in_every_case(self):
        assert set(SEVERITY) == set(EventType)

    def test_equals_its_name(self):
        assert {event.name: event.value for event in EventType} == {event.name: event.name for event in EventType}

    def test_is_in_the_catalogue_only_if_the_code_emits_it(self):
        others = (path.read_text() for path in PACKAGE.rglob("*.py") if path != PACKAGE / "audit/events.py")

        emitted = {name for source in others for name in re.findall(r"\bEventType\.([A-Z_]+)\b", source)}

        assert emitted == set(EventType.__members__)
