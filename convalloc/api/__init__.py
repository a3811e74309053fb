"""The HTTP surface that no app owns: envelope, error answers, cursors, request identity."""
