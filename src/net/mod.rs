//! The I/O side of a core: its ring, its one task, its connections.

pub mod dispatcher;
pub mod ring;
