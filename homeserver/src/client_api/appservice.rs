//! What application services ask of the homeserver about themselves: ping ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/application-service-api/#pinging

use axum::{Json, Router, extract::State};
use http::StatusCode;
use landbridge_axum_ruma::{MatrixError, mount};
use ruma::api::{
    client::appservice::request_ping::v1 as request_ping,
    error::{BadStatusErrorData, ErrorKind},
};
use serde_json::{Value, json};

use crate::{
    appservice::{
        Appservices,
        ping::{PingError, ping},
    },
    http::{
        ApiState,
        auth::Authed,
        error::{ApiError, ApiResult},
    },
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    mount::<request_ping::Request, _, _, _>(router, request)
}

/// `POST /_matrix/client/v1/appservice/{appserviceId}/ping`; also tries again at once what waits for the service.
async fn request(
    State(appservices): State<Appservices>,
    Authed { caller, body }: Authed<request_ping::Request>,
) -> ApiResult<Json<Value>> {
    let by = caller.appservice.ok_or_else(|| MatrixError::forbidden("Only application services ping"))?;
    if by.id() != body.appservice_id {
        return Err(MatrixError::forbidden("The token is another application service's").into());
    }
    let appservice = appservices.by_id(&body.appservice_id).unwrap_or(by);
    let txn_id = body.transaction_id.as_ref().map(|id| id.as_str());
    let took = ping(&appservice, txn_id).await.map_err(refusal)?;
    Ok(Json(json!({ "duration_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX) })))
}

fn refusal(error: PingError) -> ApiError {
    let message = error.to_string();
    let (status, kind) = match error {
        PingError::UrlNotSet => (StatusCode::BAD_REQUEST, ErrorKind::UrlNotSet),
        PingError::BadStatus { status, body } => {
            let mut data = BadStatusErrorData::new();
            data.status = StatusCode::from_u16(status).ok();
            data.body = Some(body);
            (StatusCode::BAD_GATEWAY, ErrorKind::BadStatus(data))
        }
        PingError::Timeout => (StatusCode::GATEWAY_TIMEOUT, ErrorKind::ConnectionTimeout),
        PingError::Connection(_) => (StatusCode::BAD_GATEWAY, ErrorKind::ConnectionFailed),
    };
    MatrixError::new(status, kind, message).into()
}
