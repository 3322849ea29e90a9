//! Every error of a handler, and what a client is told of it: one match ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#standard-error-response

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use landbridge_axum_ruma::MatrixError;
use landbridge_sql::SqlError;
use ruma::api::error::{ErrorKind, LimitExceededErrorData};

use crate::{
    departure::DepartureError,
    devices::DeviceError,
    media::{MediaError, PictureError, PreviewError},
    notices::NoticeError,
    rooms::RoomError,
    store::{KeepError, StoreError},
    users::{AccountError, CreateUserError, PasswordError},
};

/// What handlers return.
pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// Why a request was refused: a Matrix error, whose message is for the client, never about the server's inside.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ApiError(pub MatrixError);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl From<MatrixError> for ApiError {
    fn from(error: MatrixError) -> Self {
        Self(error)
    }
}

/// Nothing was written; the client may try again.
fn unavailable(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "the store failed");
    try_again()
}

fn try_again() -> ApiError {
    ApiError(MatrixError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Unknown,
        "The server cannot store anything now",
    ))
}

fn broken(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a request failed");
    ApiError(MatrixError::internal())
}

fn full() -> ApiError {
    tracing::error!("the disk is full");
    ApiError(MatrixError::new(StatusCode::INSUFFICIENT_STORAGE, ErrorKind::Unknown, "The server has no room left"))
}

impl From<SqlError> for ApiError {
    fn from(error: SqlError) -> Self {
        unavailable(&error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => full(),
            // What it stands on failed, and that was said there.
            StoreError::Superseded => try_again(),
            StoreError::Conflict | StoreError::Failed(_) | StoreError::Closed => unavailable(&error),
        }
    }
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::Read(error) => error.into(),
            KeepError::Write(error) => error.into(),
            KeepError::TooMany(_) => Self(MatrixError::invalid_param(error.to_string())),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        broken(&error)
    }
}

impl From<DeviceError> for ApiError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::Read(error) => error.into(),
            DeviceError::Write(error) => error.into(),
            DeviceError::TooMany(_) => Self(MatrixError::invalid_param(error.to_string())),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Read(error) => error.into(),
            AccountError::Write(error) => error.into(),
            AccountError::Password(error) => error.into(),
        }
    }
}

impl From<DepartureError> for ApiError {
    fn from(error: DepartureError) -> Self {
        match error {
            DepartureError::Account(error) => error.into(),
            DepartureError::Device(error) => error.into(),
            DepartureError::Room(error) => error.into(),
        }
    }
}

impl From<CreateUserError> for ApiError {
    fn from(error: CreateUserError) -> Self {
        match error {
            CreateUserError::InUse => {
                let kind = ErrorKind::UserInUse;
                Self(MatrixError::new(StatusCode::BAD_REQUEST, kind, "The user id is taken"))
            }
            CreateUserError::Password(error) => error.into(),
            CreateUserError::Store(error) => error.into(),
        }
    }
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::TooLarge(_) => Self(MatrixError::too_large()),
            MediaError::Interrupted => {
                Self(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, "The upload ended early"))
            }
            MediaError::TooManyPending => Self(MatrixError::new(
                StatusCode::TOO_MANY_REQUESTS,
                ErrorKind::LimitExceeded(LimitExceededErrorData::new()),
                error.to_string(),
            )),
            MediaError::NotYours => Self(MatrixError::forbidden(error.to_string())),
            MediaError::NotFound => Self(MatrixError::not_found(error.to_string())),
            MediaError::Uploaded => {
                Self(MatrixError::new(StatusCode::CONFLICT, ErrorKind::CannotOverwriteMedia, error.to_string()))
            }
            MediaError::NotYetUploaded => {
                Self(MatrixError::new(StatusCode::GATEWAY_TIMEOUT, ErrorKind::NotYetUploaded, error.to_string()))
            }
            MediaError::Picture(PictureError::TooLarge) => {
                Self(MatrixError::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge, error.to_string()))
            }
            MediaError::Picture(PictureError::NotAPicture) => {
                Self(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::Unknown, error.to_string()))
            }
            MediaError::Disk(error) if error.kind() == std::io::ErrorKind::StorageFull => full(),
            MediaError::Disk(error) => broken(&error),
            MediaError::Objects(error) => {
                tracing::error!(%error, "the bucket of media failed");
                let message = "The server cannot reach its files now";
                Self(MatrixError::new(StatusCode::SERVICE_UNAVAILABLE, ErrorKind::Unknown, message))
            }
            MediaError::Read(error) => error.into(),
            MediaError::Write(error) => error.into(),
        }
    }
}

impl From<NoticeError> for ApiError {
    fn from(error: NoticeError) -> Self {
        match error {
            NoticeError::NoSuchUser => Self(MatrixError::not_found(error.to_string())),
            NoticeError::BadContent => {
                Self(MatrixError::new(StatusCode::BAD_REQUEST, ErrorKind::BadJson, error.to_string()))
            }
            NoticeError::NameTaken => {
                tracing::error!(%error, "notices cannot be sent");
                Self(MatrixError::new(StatusCode::CONFLICT, ErrorKind::UserInUse, error.to_string()))
            }
            NoticeError::Room(error) => error.into(),
            NoticeError::Account(error) => error.into(),
            NoticeError::Read(error) => error.into(),
            NoticeError::Write(error) => error.into(),
            NoticeError::Keep(error) => error.into(),
        }
    }
}

impl From<PreviewError> for ApiError {
    fn from(error: PreviewError) -> Self {
        Self(match error {
            PreviewError::NotAnAddress => MatrixError::invalid_param(error.to_string()),
            PreviewError::Unreachable => {
                MatrixError::new(StatusCode::BAD_GATEWAY, ErrorKind::Unknown, error.to_string())
            }
        })
    }
}

impl From<RoomError> for ApiError {
    fn from(error: RoomError) -> Self {
        let (status, kind) = match &error {
            RoomError::NotFound(_) | RoomError::MissingEvents(_) => (StatusCode::NOT_FOUND, ErrorKind::NotFound),
            RoomError::Forbidden(_) => (StatusCode::FORBIDDEN, ErrorKind::Forbidden),
            RoomError::BadJson(_) => (StatusCode::BAD_REQUEST, ErrorKind::BadJson),
            RoomError::BadState(_) => (StatusCode::FORBIDDEN, ErrorKind::BadState),
            RoomError::InvalidParam(_) => (StatusCode::BAD_REQUEST, ErrorKind::InvalidParam),
            RoomError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, ErrorKind::TooLarge),
            RoomError::UnsupportedVersion(_) => (StatusCode::BAD_REQUEST, ErrorKind::UnsupportedRoomVersion),
            RoomError::AliasTaken => (StatusCode::CONFLICT, ErrorKind::Unknown),
            RoomError::DuplicateAnnotation => (StatusCode::BAD_REQUEST, ErrorKind::DuplicateAnnotation),
            RoomError::InvalidState(_) => (StatusCode::BAD_REQUEST, ErrorKind::InvalidRoomState),
            RoomError::Unavailable(error) => return error.clone().into(),
            RoomError::Internal(error) => return broken(error),
        };
        Self(MatrixError::new(status, kind, error.to_string()))
    }
}
