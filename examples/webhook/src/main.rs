//! Bridges Matrix rooms to JSON webhooks of Slack's shape. What is POSTed to `/TOKEN/ROOM` as `{"text", "username"}` is said in
//! `#webhook_ROOM`; what is said there is POSTed to the address that the configuration gives for ROOM. See docs/write-a-bridge.md.

use std::{collections::BTreeMap, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use axum::{Json, Router, extract::Path, extract::State, http::StatusCode, routing::post};
use landbridge::{Host, Network, network::*, registration::Token};

fn main() -> ExitCode {
    landbridge::run::main::<Webhook>()
}

/// The `webhook:` section of the configuration.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    listen: SocketAddr,
    token: Token,
    rooms: BTreeMap<String, String>,
}

/// The network, and its only session, which listens for programs.
#[derive(Clone)]
pub(crate) struct Webhook(Arc<Settings>, reqwest::Client, Host<Self>);

#[async_trait]
impl Network for Webhook {
    type Room = String;
    type User = String;
    type Message = String;
    type Config = Settings;
    type Session = Self;
    const INFO: NetworkInfo = NetworkInfo { id: "webhook", name: "Webhook", modes: &[IdentityMode::Relay] };

    fn validate(settings: &Settings) -> Vec<ConfigIssue> {
        let bad = settings.rooms.iter().filter(|(_, url)| !url.starts_with("http"));
        bad.map(|(room, _)| ConfigIssue::fatal(format!("rooms.{room}"), "is no URL", "write https://…")).collect()
    }

    async fn start(settings: Settings, host: Host<Self>) -> Result<Self, ConfigIssue> {
        Ok(Self(Arc::new(settings), reqwest::Client::default(), host))
    }

    fn session(&self, _: SessionId, _: Identity) -> Self {
        self.clone()
    }

    fn to_remote(&self, event: &MatrixEvent<Self>, _: &Context<Self>) -> Result<Vec<RemoteOp<Self>>, Reject> {
        let MatrixKind::Message { body, .. } = &event.kind else { return Err(Reject::Ignore) };
        let json = serde_json::json!({ "text": body.text.to_plain(), "username": event.sender.display_name });
        Ok(vec![RemoteOp::<Self>::send(event.room.clone(), json.to_string())])
    }
}

/// Answers 200 once the message is durable: whoever gets another answer sends it again.
async fn hear(state: State<Webhook>, path: Path<[String; 2]>, Json(json): Json<serde_json::Value>) -> StatusCode {
    let (State(Webhook(settings, _, host)), Path([token, room])) = (state, path);
    let true = settings.token.matches(&token) else { return StatusCode::FORBIDDEN };
    let text = |key: &str, default: &str| json[key].as_str().unwrap_or(default).to_owned();
    let event = RemoteEvent::<Webhook>::said(room, text("username", "webhook"), Body::plain(text("text", "")));
    match host.ingest(&SessionId::Relay, event, Dedupe::Never).await {
        Ok(Ingested::NotMapped) => StatusCode::NOT_FOUND,
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[async_trait]
impl Session<Webhook> for Webhook {
    async fn run(&self, stop: CancellationToken) -> Result<(), ConnectionError> {
        let lost = |error: std::io::Error| ConnectionError::Transient(error.to_string());
        let listener = tokio::net::TcpListener::bind(self.0.listen).await.map_err(lost)?;
        self.2.state(&SessionId::Relay, ConnectionState::Connected { name: None });
        let router = Router::new().route("/{token}/{room}", post(hear)).with_state(self.clone());
        axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.map_err(lost)
    }

    fn caps(&self, _: &String) -> Caps {
        Caps { idempotency: Idempotency::ClientId, ..Caps::default() }
    }

    async fn deliver(&self, op: &RemoteOp<Self>, key: &IdempotencyKey, _: u32) -> Result<Delivered<String>, SendError> {
        let url = self.0.rooms.get(&op.room).ok_or(SendError::Rejected(Reject::UnknownTarget))?;
        let request = self.1.post(url).timeout(Duration::from_secs(20)).header("content-type", "application/json");
        let request = request.header("idempotency-key", key.to_string());
        match request.body(op.wire.clone()).send().await.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => Ok(Delivered::unnamed()),
            Ok(status) if status.is_client_error() => Err(SendError::Rejected(Reject::Forbidden(status.to_string()))),
            Err(error) if !error.is_connect() => Err(SendError::MaybeSent(error.to_string())),
            _ => Err(SendError::RetryAfter(Duration::from_secs(5))),
        }
    }

    async fn room_info(&self, room: &String) -> Result<RoomInfo, SendError> {
        self.0.rooms.get(room).map(|_| RoomInfo::default()).ok_or(SendError::Rejected(Reject::UnknownTarget))
    }
}
