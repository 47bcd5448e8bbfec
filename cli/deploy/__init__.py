"""`make preview`, `make deploy` and `make rollback`: from a commit to a system on AWS that is seen to work."""
