//! Clients that hammer, stop, or die in the middle of a request keep nobody else waiting.
