//! Asks the homeserver whether it agrees with the configuration.

use std::{io, sync::Arc, time::Duration};

use anyhow::Context;
use axum::Router;
use landbridge::matrix::{Assertion, Client, ClientError, HttpTransport, RetryPolicy};
use landbridge::{Network, config::Config};
use landbridge_axum_ruma::{MatrixError, Ruma, RumaReply, finish, mount};
use landbridge_registration::Token;

use ruma::api::appservice::ping::send_ping::v1 as send_ping;
use tokio::net::TcpListener;
use url::Url;

/// How long the homeserver may take for each answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asks, step by step, and tells what comes of it. Whether all is well.
pub(super) async fn ask<N: Network>(config: &Config<N>) -> anyhow::Result<bool> {
    let url = Url::parse(config.homeserver.url.as_str()).context("homeserver.url")?;
    let policy = RetryPolicy { timeout: PATIENCE, ..RetryPolicy::once() };
    let transport = Arc::new(HttpTransport::new(url)?);
    let client = Client::with_policy(transport, config.registration.as_token.clone(), policy);
    Ok(answers(config, &client).await && knows_us(config, &client).await && reaches_us(config, &client).await)
}

async fn answers<N: Network>(config: &Config<N>, client: &Client) -> bool {
    let url = &config.homeserver.url;
    match client.versions().await {
        Ok(versions) => {
            let newest = versions.last().map_or("an unknown version", String::as_str);
            println!("homeserver: answers at {url}, and speaks Matrix up to {newest}");
            true
        }
        Err(error) => {
            println!(
                "homeserver.url: nobody answers at {url} as a homeserver does: {error}. Start it, or correct the URL."
            );
            false
        }
    }
}

async fn knows_us<N: Network>(config: &Config<N>, client: &Client) -> bool {
    let (id, server_name) = (&config.registration.id, &config.homeserver.server_name);
    match client.whoami(&Assertion::default()).await {
        Ok(user) if user.server_name() != *server_name => {
            println!("homeserver.server_name: it is called {}. Write that.", user.server_name());
            false
        }
        Ok(user) if user.localpart() != config.registration.sender_localpart => {
            println!(
                "registration: the homeserver has another sender_localpart for it, {}. {SAME_FILE}",
                user.localpart()
            );
            false
        }
        Ok(user) => {
            println!("homeserver: knows the registration `{id}`, whose user is {user}");
            true
        }
        Err(ClientError::UnknownToken) => {
            println!("registration: the homeserver does not know its as_token. {SAME_FILE}");
            false
        }
        Err(error) => {
            println!("registration: the homeserver refuses the bridge: {error}. {SAME_FILE}");
            false
        }
    }
}

const SAME_FILE: &str = "Give the homeserver the same file that the bridge has, and restart it.";

async fn reaches_us<N: Network>(config: &Config<N>, client: &Client) -> bool {
    let Some(url) = &config.registration.url else {
        println!("registration: its url is null, so the homeserver sends nothing. Write where the bridge listens.");
        return false;
    };
    // A bridge that runs already answers for itself.
    let answering = match TcpListener::bind(config.listen).await {
        Ok(listener) => Some(tokio::spawn(serve(listener, config.registration.hs_token.clone()))),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            println!("listen: {} is in use; if not by this bridge, choose another", config.listen);
            None
        }
        Err(error) => {
            println!("listen: {} cannot be listened on: {error}. Write an address of this machine.", config.listen);
            return false;
        }
    };
    let answer = client.ping(&config.registration.id, None).await;
    if let Some(answering) = answering {
        answering.abort();
    }
    match answer {
        Ok(time) => {
            println!("homeserver: reaches the bridge at {url}, in {} ms", time.as_millis());
            true
        }
        Err(error) => explain(&error, url.as_str(), config),
    }
}

/// Says what a failed ping means ([spec](https://spec.matrix.org/v1.19/application-service-api/#pinging)). Whether it can be
/// lived with.
fn explain<N: Network>(error: &ClientError, url: &str, config: &Config<N>) -> bool {
    let listen = config.listen;
    let errcode = match error {
        ClientError::Rejected { errcode, .. } => errcode.as_str(),
        ClientError::Unavailable(text) => text.split(':').next().unwrap_or_default(),
        _ => "",
    };
    match errcode {
        "M_URL_NOT_SET" => println!("registration: the homeserver has no url for it. {SAME_FILE}"),
        "M_BAD_STATUS" => println!(
            "registration: what answers at {url} refuses the homeserver. If it is the bridge, the two have different \
             hs_tokens. {SAME_FILE}"
        ),
        "M_CONNECTION_FAILED" | "M_CONNECTION_TIMEOUT" => println!(
            "registration.url: the homeserver cannot connect to {url}. It has to lead to {listen} as seen from the \
             homeserver; look at firewalls and containers in between."
        ),
        "M_UNRECOGNIZED" => {
            println!("homeserver: too old to be asked whether it reaches the bridge; go on and see");
            return true;
        }
        _ => println!("registration.url: the homeserver did not reach the bridge at {url}: {error}"),
    }
    false
}

/// Answers pings, and nothing else, until it is aborted.
async fn serve(listener: TcpListener, hs_token: Token) -> io::Result<()> {
    let ping = async move |Ruma { auth, .. }: Ruma<send_ping::Request>| {
        if hs_token.matches(&auth) {
            Ok(RumaReply(send_ping::Response::new()))
        } else {
            Err(MatrixError::forbidden("Wrong hs_token"))
        }
    };
    let router = mount::<send_ping::Request, _, _, _>(Router::new(), ping);
    axum::serve(listener, finish(router, MAX_PING)).await
}

/// A ping has one short field.
const MAX_PING: usize = 64 * 1024;
