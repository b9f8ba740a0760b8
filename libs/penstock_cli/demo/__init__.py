"""The whole story once, in a throw-away state folder."""
