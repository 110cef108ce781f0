"""One held round: answering, receiving, distilling, and clients that come and go afterwards."""
