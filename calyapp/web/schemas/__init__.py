"""What requests may contain and what responses contain; the OpenAPI document is generated from it."""
