"""The layers that every request passes, one module each. `app` sets their order."""
