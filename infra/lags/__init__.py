"""How far the followers of topics and logs are behind, and what is parked; looked at from outside, so that a dead follower is seen too."""
