"""Schemas of requests and answers. The OpenAPI document is generated from them."""
