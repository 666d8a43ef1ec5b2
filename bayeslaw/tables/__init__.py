"""Everything that reads what a user has: runs, curves, schedules, mixtures, scores, early training, documents."""
