"""The model under test: how it is called, what it answers, what it is differentiated by."""
