"""The agents of customer support: how a request is classified, researched and answered."""
