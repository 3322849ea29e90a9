//! Whether a registration token can be used ([spec]), and pages for clients that know not all stages ([fallback])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1registermloginregistration_tokenvalidity
//! [fallback]: https://spec.matrix.org/v1.19/client-server-api/#fallback

use axum::{
    Json, Router,
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use http::{HeaderValue, header};
use landbridge_axum_ruma::{MatrixError, Ruma, mount};
use ruma::api::client::account::check_registration_token_validity::v1 as validity;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{
        ApiState,
        error::ApiResult,
        limits::{Action, Limits},
        path::{PathArgs, QueryArgs},
        peer::Peer,
        uia::{Stage, Uia},
    },
    users::Grants,
};

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    let router = ["r0", "v3"].into_iter().fold(router, |router, version| {
        router.route(&format!("/_matrix/client/{version}/auth/{{stage}}/fallback/web"), get(page).post(pass))
    });
    mount::<validity::Request, _, _, _>(router, is_valid)
}

/// `GET /_matrix/client/v1/register/m.login.registration_token/validity`
async fn is_valid(
    State(grants): State<Grants>,
    State(limits): State<Limits>,
    peer: Peer,
    Ruma { body, .. }: Ruma<validity::Request>,
) -> ApiResult<Json<Value>> {
    limits.take(Action::Login, peer)?;
    Ok(Json(json!({ "valid": grants.is_valid(&body.token).await? })))
}

#[derive(Deserialize)]
struct Whose {
    session: String,
}

fn stage_of(name: &str) -> ApiResult<Stage> {
    [Stage::Dummy, Stage::Terms, Stage::RegistrationToken]
        .into_iter()
        .find(|stage| stage.name() == name)
        .ok_or_else(|| MatrixError::not_found("There is no page for this stage").into())
}

/// `GET /_matrix/client/v3/auth/{authType}/fallback/web`
async fn page(
    State(uia): State<Uia>,
    PathArgs((stage,)): PathArgs<(String,)>,
    QueryArgs(_): QueryArgs<Whose>,
) -> ApiResult<Response> {
    let inside = match stage_of(&stage)? {
        Stage::Terms => {
            let link = |terms: &crate::http::Terms| {
                format!(
                    "<li><a href=\"{}\" rel=\"noopener\" target=\"_blank\">{}</a></li>",
                    escaped(&terms.url),
                    escaped(&terms.name)
                )
            };
            format!("<p>Please read and agree to:</p><ul>{}</ul>", uia.terms().iter().map(link).collect::<String>())
        }
        Stage::RegistrationToken => {
            "<p><label>Registration token <input name=\"token\" maxlength=\"64\"></label></p>".to_owned()
        }
        Stage::Dummy | Stage::Password => String::new(),
    };
    Ok(html(&format!("<form method=\"post\">{inside}<button>Continue</button></form>")))
}

/// The form of the page above, sent.
async fn pass(
    State(uia): State<Uia>,
    State(grants): State<Grants>,
    State(limits): State<Limits>,
    peer: Peer,
    PathArgs((stage,)): PathArgs<(String,)>,
    QueryArgs(whose): QueryArgs<Whose>,
    body: Bytes,
) -> ApiResult<Response> {
    limits.take(Action::Login, peer)?;
    let stage = stage_of(&stage)?;
    let field = url::form_urlencoded::parse(&body).find(|(name, _)| name == "token");
    let token = field.map(|(_, token)| token.into_owned()).filter(|_| stage == Stage::RegistrationToken);
    if stage == Stage::RegistrationToken && !grants.is_valid(token.as_deref().unwrap_or_default()).await? {
        return Err(MatrixError::forbidden("The token cannot be used").into());
    }
    if !uia.pass(&whose.session, stage, token) {
        return Err(MatrixError::not_found("The session is unknown or out of date").into());
    }
    Ok(html(
        "<p>Thank you. You can go back to your client.</p><script>if(window.onAuthDone)onAuthDone();else if(window.opener)opener.postMessage('authDone','*')</script>",
    ))
}

fn html(inside: &str) -> Response {
    const POLICY: HeaderValue =
        HeaderValue::from_static("default-src 'none'; script-src 'unsafe-inline'; form-action 'self'");
    let page =
        format!("<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Registration</title>{inside}</html>");
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}
