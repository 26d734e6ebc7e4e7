"""What a call is: events, how they join into a record, recording, replay."""
