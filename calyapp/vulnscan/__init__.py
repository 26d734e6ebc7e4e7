"""Known weaknesses of what Caly is built on: looked for, judged, kept. Knows neither commands nor the database."""
