//! A page that logs in, for clients that know no way to log in that this server has ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#login-fallback

use axum::{
    Router,
    response::{Html, IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, header};

use crate::http::ApiState;

/// It speaks with this server alone, stands in no frame of others, and its form goes nowhere without the script.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
);

/// Hands the answer of `/login` to `window.matrixLogin.onLogin`; what the query asks for goes into the request.
const PAGE: &str = r#"<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Log in</title>
<form id="form">
<p><label>User name <input id="user" autocomplete="username" required></label></p>
<p><label>Password <input id="password" type="password" autocomplete="current-password" required></label></p>
<button>Log in</button>
<p id="said" role="alert"></p>
</form>
<script>
const at = (id) => document.getElementById(id);
at("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const request = {
    type: "m.login.password",
    identifier: { type: "m.id.user", user: at("user").value },
    password: at("password").value,
  };
  const asked = new URLSearchParams(location.search);
  for (const name of ["device_id", "initial_device_display_name"]) {
    if (asked.has(name)) request[name] = asked.get(name);
  }
  if (asked.get("refresh_token") === "true") request.refresh_token = true;
  try {
    const answer = await fetch("/_matrix/client/v3/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(request),
    });
    const response = await answer.json();
    if (!answer.ok) throw new Error(response.error);
    at("said").textContent = "You are logged in. You can go back to your client.";
    if (window.matrixLogin && window.matrixLogin.onLogin) window.matrixLogin.onLogin(response);
  } catch (error) {
    at("said").textContent = error.message;
  }
});
</script></html>
"#;

pub(super) fn routes(router: Router<ApiState>) -> Router<ApiState> {
    router.route("/_matrix/static/client/login/", get(page))
}

/// `GET /_matrix/static/client/login/`
async fn page() -> Response {
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(PAGE)).into_response()
}
