"""The backing servers, one module each, the same for `make up` and for the tests."""
