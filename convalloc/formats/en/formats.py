"""Read by Django (FORMAT_MODULE_PATH). An audit needs seconds, and a time without its zone is none."""

DATETIME_FORMAT = "Y-m-d H:i:s e"
SHORT_DATETIME_FORMAT = DATETIME_FORMAT
