from calyapp import clock
from calyapp.db import partitions

SEVERAL = [partitions.name(month) for month in partitions.months(clock.now())][-2:]


class TestPartitions:
    def test_says_that_none_was_missing(self, caly, told):
        assert caly("partitions").stdout == "No partition was missing.\n"
        assert told("partitions") == {"made": []}

    def test_makes_those_that_are(self, told, query):
        query(f"DROP TABLE {', '.join(SEVERAL)}")

        assert told("partitions") == {"made": SEVERAL}

        assert query("SELECT to_regclass(name)::text FROM unnest(%s) AS name", SEVERAL) == [(name,) for name in SEVERAL]

    def test_names_them_to_people(self, caly, query):
        query(f"DROP TABLE {', '.join(SEVERAL)}")

        assert caly("partitions").stdout == f"made  {SEVERAL[0]}, {SEVERAL[1]}\n"
