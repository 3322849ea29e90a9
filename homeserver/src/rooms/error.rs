//! What can go wrong in a room, by consequence.

use crate::store::StoreError;

/// Why an operation on a room did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RoomError {
    /// There is no such room, event, state or alias here, or the user may not know of it (`M_NOT_FOUND`).
    #[error("{0}")]
    NotFound(&'static str),
    /// The room's rules forbid it (`M_FORBIDDEN`). The text says which rule.
    #[error("{0}")]
    Forbidden(String),
    /// What is asked for does not fit how things stand (`M_BAD_STATE`).
    #[error("{0}")]
    BadState(&'static str),
    /// The request contradicts itself or the spec (`M_BAD_JSON`).
    #[error("{0}")]
    BadJson(String),
    /// A parameter is not what it must be (`M_INVALID_PARAM`).
    #[error("{0}")]
    InvalidParam(String),
    /// The event would be larger than 65,535 bytes, or one of its ids longer than 255 (`M_TOO_LARGE`).
    #[error("the event is too large: {0}")]
    TooLarge(String),
    /// This server does not make rooms of that version (`M_UNSUPPORTED_ROOM_VERSION`).
    #[error("room version {0} is not supported")]
    UnsupportedVersion(String),
    /// The alias is taken (`M_ROOM_IN_USE` when a room is made, `M_UNKNOWN` with 409 when an alias is).
    #[error("the alias is taken")]
    AliasTaken,
    /// The sender has reacted in this way already (`M_DUPLICATE_ANNOTATION`).
    #[error("you have reacted in this way already")]
    DuplicateAnnotation,
    /// The state that a new room asks for contradicts itself (`M_INVALID_ROOM_STATE`).
    #[error("the initial state is refused: {0}")]
    InvalidState(String),
    /// The event refers to events that are not here.
    #[error("{} events before it are missing", .0.len())]
    MissingEvents(Vec<ruma::OwnedEventId>),
    /// Nothing was written; the same request may succeed later (503 `M_UNKNOWN`, or 507 where the disk is full).
    #[error(transparent)]
    Unavailable(#[from] StoreError),
    /// A fault of ours: what is stored contradicts itself (500 `M_UNKNOWN`).
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<landbridge_sql::SqlError> for RoomError {
    fn from(error: landbridge_sql::SqlError) -> Self {
        Self::Unavailable(StoreError::from(error))
    }
}

impl From<landbridge_axum_ruma::OutOfTurn> for RoomError {
    fn from(_: landbridge_axum_ruma::OutOfTurn) -> Self {
        Self::Unavailable(StoreError::Superseded)
    }
}
