"""Workers that come and go while the lab stands."""
