//! `landbridge admin`: an operator's work, over the homeserver's API for operators.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;

use crate::runtime;

/// How long the homeserver may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the homeserver is, and what to do there.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    /// Where the homeserver answers.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8008", global = true)]
    url: Url,
    /// The homeserver's data directory, in which its operator token lies.
    #[arg(long, value_name = "DIR", default_value = "landbridge-data", global = true)]
    data: PathBuf,
    /// A file with another token: that of a user who has a role.
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Users.
    #[command(subcommand)]
    Users(UsersCommand),
    /// Rooms.
    #[command(subcommand)]
    Rooms(RoomsCommand),
    /// Registration tokens, that let people make accounts.
    #[command(subcommand)]
    Tokens(TokensCommand),
    /// Application services: who they are, how far they are, adding and removing.
    #[command(subcommand)]
    Appservices(AppservicesCommand),
    /// Uploaded files.
    #[command(subcommand)]
    Media(MediaCommand),
    /// What users reported.
    #[command(subcommand)]
    Reports(ReportsCommand),
    /// What waits to be sent: how far each application service is behind, and which pushers cannot reach their gateways.
    Queues,
    /// Who this server is to other servers, and what waits to be sent to them.
    Federation,
    /// Tell a user something, in the room for what the server has to say.
    Notify {
        user_id: String,
        /// What is said, as plain text.
        text: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleArg {
    Auditor,
    Moderator,
    Admin,
    None,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// One line for each.
    List {
        /// Part of the user id.
        #[arg(long, default_value = "")]
        search: String,
        /// Also those of application services.
        #[arg(long)]
        services: bool,
    },
    /// All that is known of one.
    Show { user_id: String },
    /// Make an account. The password is read from a file, so that no list of processes shows it.
    Create {
        username: String,
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
        #[arg(long)]
        role: Option<RoleArg>,
    },
    /// Give a user another password, and log them out everywhere.
    Password {
        user_id: String,
        #[arg(value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Let a user only look, leave and take back.
    Suspend { user_id: String },
    /// Let a user do nothing.
    Lock { user_id: String },
    /// Let a user do everything again.
    Restore { user_id: String },
    /// End all devices of a user.
    Logout { user_id: String },
    /// Say what a user may do of an operator's work.
    Role { user_id: String, role: RoleArg },
    /// Close an account for good.
    Deactivate {
        user_id: String,
        /// Also forget its profile and what it stored.
        #[arg(long)]
        erase: bool,
    },
    /// The files of a user.
    Media { user_id: String },
}

#[derive(Debug, Subcommand)]
enum RoomsCommand {
    /// One line for each.
    List,
    /// All that is known of one.
    Show { room_id: String },
    /// Forget for good what was said before a time, in milliseconds since 1970. State stays.
    Purge { room_id: String, before_ts: i64 },
    /// Have all members leave, and take away all that there is of it, for good. What is left to do when this returns goes on in the server.
    Delete {
        room_id: String,
        /// Let nobody come in again, whatever becomes of the room.
        #[arg(long)]
        block: bool,
        /// Keep what was said, for those who were there: only close the room.
        #[arg(long)]
        keep: bool,
        /// What the members are told.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let nobody come in, whether it is there or not.
    Block { room_id: String },
    /// Let whoever may come in again.
    Unblock { room_id: String },
    /// Have all members leave, and take away its aliases and its place in the directory.
    Close {
        room_id: String,
        /// What the members are told.
        #[arg(long)]
        reason: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum ReportsCommand {
    /// One line for each, the oldest first.
    List,
    /// Forget one that was seen to.
    Settle { id: u64 },
}

#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// One line for each.
    List,
    /// Make one.
    Create {
        /// Without it, one is made up.
        token: Option<String>,
        /// How many accounts may be made with it.
        #[arg(long)]
        uses: Option<u32>,
        /// Until when, in milliseconds since 1970.
        #[arg(long)]
        expires_at: Option<i64>,
    },
    /// Forget one.
    Delete { token: String },
}

#[derive(Debug, Subcommand)]
enum AppservicesCommand {
    /// One line for each, with how far behind it is.
    List,
    /// Serve the one of a registration, from now on and after each start.
    Add { file: PathBuf },
    /// Serve one no more.
    Remove { id: String },
    /// Let nothing be delivered to one; what happens meanwhile waits.
    Pause { id: String },
    /// Deliver again to one that was paused.
    Resume { id: String },
    /// Set the transaction aside that one does not take, and go on after it.
    Skip { id: String },
}

#[derive(Debug, Subcommand)]
enum MediaCommand {
    /// How many files there are.
    Info,
    /// Forget files that nobody has asked for since a time, in milliseconds since 1970.
    Purge { unused_since: i64 },
    /// Keep a file and show it to nobody.
    Hide { media_id: String },
    /// Show a hidden file again.
    Unhide { media_id: String },
    /// Forget a file.
    Delete { media_id: String },
}

pub(crate) fn main(args: AdminArgs) -> anyhow::Result<()> {
    let AdminArgs { url, data, token_file, command } = args;
    let path = token_file.unwrap_or_else(|| data.join(landbridge_homeserver::OPERATOR_TOKEN_FILE));
    let cannot = || format!("{} cannot be read; --data names the homeserver's data directory", path.display());
    let token = fs::read_to_string(&path).with_context(cannot)?.trim().to_owned();
    runtime::block_on(async move {
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build()?;
        let server = Server { client, url, token };
        match command {
            AdminCommand::Users(command) => users(&server, command).await,
            AdminCommand::Rooms(command) => rooms(&server, command).await,
            AdminCommand::Tokens(command) => tokens(&server, command).await,
            AdminCommand::Appservices(command) => appservices(&server, command).await,
            AdminCommand::Media(command) => media(&server, command).await,
            AdminCommand::Reports(command) => reports(&server, command).await,
            AdminCommand::Queues => queues(&server).await,
            AdminCommand::Federation => federation(&server).await,
            AdminCommand::Notify { user_id, text } => {
                print(&server.post(&["notices"], json!({ "user_id": user_id, "body": text })).await?)
            }
        }
    })?
}

struct Server {
    client: reqwest::Client,
    url: Url,
    token: String,
}

/// What is sent along.
enum Body {
    Nothing,
    Json(Value),
    Text(String),
}

impl Server {
    /// Asks for something; each part of the path is one segment, whatever it holds.
    async fn ask(&self, method: Method, path: &[&str], query: &[(&str, &str)], body: Body) -> anyhow::Result<Value> {
        let mut url = self.url.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => drop(segments.pop_if_empty().extend(["_landbridge", "admin", "v1"]).extend(path)),
            Err(()) => bail!("{} is not where a homeserver answers", self.url),
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.client.request(method, url).bearer_auth(&self.token);
        let request = match body {
            Body::Nothing => request,
            Body::Json(body) => request.json(&body),
            Body::Text(text) => request.body(text),
        };
        let answer = request.send().await.with_context(|| format!("{} cannot be reached", self.url))?;
        let status = answer.status();
        let body: Value = answer.json().await.with_context(|| format!("{status} without JSON"))?;
        if status.is_success() {
            return Ok(body);
        }
        bail!(
            "{} ({})",
            body["error"].as_str().unwrap_or("refused"),
            body["errcode"].as_str().unwrap_or(status.as_str())
        )
    }

    async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, &[], Body::Nothing).await
    }

    async fn put(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, &[], Body::Json(body)).await
    }

    async fn post(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, &[], Body::Json(body)).await
    }

    async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, &[], Body::Nothing).await
    }

    /// Reads all pages of a list, and prints a line for each thing in them.
    async fn list(&self, what: &str, query: &[(&str, &str)], fields: &[&str]) -> anyhow::Result<()> {
        let mut from = String::new();
        loop {
            let mut query = query.to_vec();
            query.push(("from", &from));
            let page = self.ask(Method::GET, &[what], &query, Body::Nothing).await?;
            lines(&page[what], fields);
            match page["next"].as_str() {
                Some(next) => from = next.to_owned(),
                None => return Ok(()),
            }
        }
    }
}

/// Prints fields of each thing of a list, between tabs.
fn lines(list: &Value, fields: &[&str]) {
    for thing in list.as_array().into_iter().flatten() {
        let shown = fields.iter().map(|field| match &thing[*field] {
            Value::Null => "-".to_owned(),
            // What users wrote does not command the terminal.
            Value::String(text) => text.replace(char::is_control, " "),
            other => other.to_string(),
        });
        println!("{}", shown.collect::<Vec<_>>().join("\t"));
    }
}

fn print(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

fn password(file: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn role(role: RoleArg) -> Value {
    match role {
        RoleArg::None => Value::Null,
        other => other.to_possible_value().map_or(Value::Null, |value| value.get_name().into()),
    }
}

async fn users(server: &Server, command: UsersCommand) -> anyhow::Result<()> {
    let done = match command {
        UsersCommand::List { search, services } => {
            let search = search.to_lowercase();
            let query = [("search", &*search), ("services", if services { "true" } else { "false" })];
            return server.list("users", &query, &["user_id", "standing", "role", "display_name"]).await;
        }
        UsersCommand::Show { user_id } => server.get(&["users", &user_id]).await?,
        UsersCommand::Media { user_id } => server.get(&["users", &user_id, "media"]).await?,
        UsersCommand::Create { username, password_file, role: wanted } => {
            let password = password_file.map(|file| password(&file)).transpose()?;
            let role = wanted.map_or(Value::Null, role);
            server.post(&["users"], json!({ "username": username, "password": password, "role": role })).await?
        }
        UsersCommand::Password { user_id, password_file } => {
            server.put(&["users", &user_id, "password"], json!({ "password": password(&password_file)? })).await?
        }
        UsersCommand::Suspend { user_id } => standing(server, &user_id, "suspended").await?,
        UsersCommand::Lock { user_id } => standing(server, &user_id, "locked").await?,
        UsersCommand::Restore { user_id } => standing(server, &user_id, "good").await?,
        UsersCommand::Logout { user_id } => server.post(&["users", &user_id, "logout"], json!({})).await?,
        UsersCommand::Role { user_id, role: wanted } => {
            server.put(&["users", &user_id, "role"], json!({ "role": role(wanted) })).await?
        }
        UsersCommand::Deactivate { user_id, erase } => {
            server.post(&["users", &user_id, "deactivate"], json!({ "erase": erase })).await?
        }
    };
    print(&done)
}

async fn standing(server: &Server, user_id: &str, standing: &str) -> anyhow::Result<Value> {
    server.put(&["users", user_id, "standing"], json!({ "standing": standing })).await
}

async fn rooms(server: &Server, command: RoomsCommand) -> anyhow::Result<()> {
    let done = match command {
        RoomsCommand::List => {
            return server.list("rooms", &[], &["room_id", "joined_members", "canonical_alias", "name"]).await;
        }
        RoomsCommand::Show { room_id } => server.get(&["rooms", &room_id]).await?,
        RoomsCommand::Purge { room_id, before_ts } => {
            server.post(&["rooms", &room_id, "purge"], json!({ "before_ts": before_ts })).await?
        }
        RoomsCommand::Delete { room_id, block, keep, reason } => {
            let body = json!({ "block": block, "purge": !keep, "reason": reason });
            server.ask(Method::DELETE, &["rooms", &room_id], &[], Body::Json(body)).await?
        }
        RoomsCommand::Block { room_id } => block(server, &room_id, true).await?,
        RoomsCommand::Unblock { room_id } => block(server, &room_id, false).await?,
        RoomsCommand::Close { room_id, reason } => {
            server.post(&["rooms", &room_id, "close"], json!({ "reason": reason })).await?
        }
    };
    print(&done)
}

async fn block(server: &Server, room_id: &str, blocked: bool) -> anyhow::Result<Value> {
    server.put(&["rooms", room_id, "blocked"], json!({ "blocked": blocked })).await
}

async fn reports(server: &Server, command: ReportsCommand) -> anyhow::Result<()> {
    match command {
        ReportsCommand::List => {
            server.list("reports", &[], &["id", "reporter", "user_id", "room_id", "event_id", "reason", "event"]).await
        }
        ReportsCommand::Settle { id } => print(&server.delete(&["reports", &id.to_string()]).await?),
    }
}

async fn tokens(server: &Server, command: TokensCommand) -> anyhow::Result<()> {
    const TOKENS: &str = "registration_tokens";
    let done = match command {
        TokensCommand::List => {
            let all = server.get(&[TOKENS]).await?;
            lines(&all[TOKENS], &["token", "completed", "uses_allowed", "expires_at"]);
            return Ok(());
        }
        TokensCommand::Create { token, uses, expires_at } => {
            let body = json!({ "token": token, "uses_allowed": uses, "expires_at": expires_at });
            server.post(&[TOKENS], body).await?
        }
        TokensCommand::Delete { token } => server.delete(&[TOKENS, &token]).await?,
    };
    print(&done)
}

/// What is shown of each application service.
const APPSERVICE: &[&str] = &["id", "sender", "lag", "failures", "events", "paused"];

async fn queues(server: &Server) -> anyhow::Result<()> {
    let state = server.get(&["queues"]).await?;
    lines(&state["appservices"], APPSERVICE);
    let pushers = &state["pushers"];
    lines(&pushers["failing"], &["user_id", "app_id", "url", "failures", "error"]);
    let failing = pushers["failing"].as_array().map_or(0, Vec::len);
    println!("{} pushers, of which {failing} cannot reach their gateways", pushers["total"]);
    Ok(())
}

async fn federation(server: &Server) -> anyhow::Result<()> {
    let state = server.get(&["federation"]).await?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for (id, key) in state["verify_keys"].as_object().into_iter().flatten() {
        println!("{} signs with {id} {}", text(&state["server_name"]), text(&key["key"]));
    }
    if state["enabled"] == false {
        println!("it speaks to no other server");
    }
    lines(&state["destinations"], &["server_name", "waiting", "failures", "error"]);
    Ok(())
}

async fn appservices(server: &Server, command: AppservicesCommand) -> anyhow::Result<()> {
    let done = match command {
        AppservicesCommand::List => {
            let all = server.get(&["appservices"]).await?;
            lines(&all["appservices"], APPSERVICE);
            return Ok(());
        }
        AppservicesCommand::Add { file } => {
            let text = fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
            server.ask(Method::POST, &["appservices"], &[], Body::Text(text)).await?
        }
        AppservicesCommand::Pause { id } => pause(server, &id, true).await?,
        AppservicesCommand::Resume { id } => pause(server, &id, false).await?,
        AppservicesCommand::Skip { id } => server.post(&["appservices", &id, "skip"], json!({})).await?,
        AppservicesCommand::Remove { id } => server.delete(&["appservices", &id]).await?,
    };
    print(&done)
}

async fn pause(server: &Server, id: &str, paused: bool) -> anyhow::Result<Value> {
    server.put(&["appservices", id, "paused"], json!({ "paused": paused })).await
}

async fn media(server: &Server, command: MediaCommand) -> anyhow::Result<()> {
    let quarantine = async |media_id: String, quarantined: bool| {
        server.put(&["media", &media_id, "quarantine"], json!({ "quarantined": quarantined })).await
    };
    let done = match command {
        MediaCommand::Info => server.get(&["media"]).await?,
        MediaCommand::Purge { unused_since } => {
            server.post(&["media", "purge"], json!({ "unused_since": unused_since })).await?
        }
        MediaCommand::Hide { media_id } => quarantine(media_id, true).await?,
        MediaCommand::Unhide { media_id } => quarantine(media_id, false).await?,
        MediaCommand::Delete { media_id } => server.delete(&["media", &media_id]).await?,
    };
    print(&done)
}
