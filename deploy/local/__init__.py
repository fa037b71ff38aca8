"""The whole stack on one machine without Docker: every server and service as a private child process."""
