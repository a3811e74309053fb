"""Whether the house is well: the machine it runs on, and what must hold of everybody's data. `manage.py doctor` asks here."""
