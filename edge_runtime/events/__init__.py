"""What was heard, for people: events, the clips that belong to them, and how both leave the device."""
