//! The first message on a connection.
