"""User data: runs, curves, schedules, mixtures, scores, early training, documents."""
