"""The console's pages of conversations."""
