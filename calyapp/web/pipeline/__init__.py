"""What every request passes, one file a layer; `app` puts them in order."""
