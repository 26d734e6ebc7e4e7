"""Finds known vulnerabilities of the required packages. Knows neither the commands nor the database."""
