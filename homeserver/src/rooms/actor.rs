//! The task of a room.

/// The tasks of all rooms that were lately written.
#[derive(Debug, Default)]
pub(super) struct RoomTasks {}
