"""Pictures and pages of one image's quality. Not here: measures, pages of a whole project."""
