from calyapp import clock
from calyapp.db import partitions

SEVERAL = [partitions.name(month) for month in partitions.months(clock.now())][-2:]


class TestPartitions:
    def test_reports_that_no_partition_was_missing(self, caly, told):
        assert caly("partitions").stdout == "No partition was missing.\n"
        assert told("partitions") == {"made": []}

    def test_creates_missing_partitions(self, told, query):
        query(f"DROP TABLE {', '.join(SEVERAL)}")

        assert told("partitions") == {"made": SEVERAL}

        assert query("SELECT to_regclass(name)::text FROM unnest(%s) AS name", SEVERAL) == [(name,) for name in SEVERAL]

    def test_prints_the_names_of_created_partitions(self, caly, query):
        query(f"DROP TABLE {', '.join(SEVERAL)}")

        assert caly("partitions").stdout == f"made  {SEVERAL[0]}, {SEVERAL[1]}\n"
