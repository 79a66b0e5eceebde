"""The event store: streams, inbox, rejections and dead letters of one context, and its log in position order."""
