"""What becomes of published commands: the port that waits for it, and its adapter on the event stores."""
