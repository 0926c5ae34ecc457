"""The words of an answer that is none, and of a quote that does not stand where it is said to."""

REFUSED = "not in the sources"
UNSUPPORTED = "not in this source, as it is quoted"
