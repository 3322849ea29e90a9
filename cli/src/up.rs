//! `landbridge up`

mod address;
mod banner;
mod data;
mod irc;
mod settings;

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use landbridge_homeserver::{Config, Homeserver, clock::SystemClock, push::HttpGateway};
use landbridge_registration::{Registration, RegistrationSet, read};
use ruma::ServerName;
use tokio::net::TcpListener;
use tracing::warn;

use self::{banner::Banner, data::DataDir, irc::Irc, settings::Settings};
use crate::{
    args::UpArgs,
    connections,
    registration::describe,
    runtime,
    serve::{DRAIN, Server},
};

pub(crate) use self::irc::database;

pub(crate) fn main(args: UpArgs) -> anyhow::Result<()> {
    runtime::block_on(up(args))?
}

async fn up(args: UpArgs) -> anyhow::Result<()> {
    let behaviour = Settings::read(args.homeserver_config.as_deref())?;
    let data = DataDir::open(&args.data)?;
    let server_name = data.server_name(args.server_name.as_deref())?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| cannot_listen(&args))?;
    let listen = listener.local_addr()?;
    let settings = irc::settings(&args)?;
    let own = settings.is_some().then(|| irc::registration(data.path(), &server_name)).transpose()?;
    let others = registrations(&args, own.as_ref(), &server_name)?;

    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
    let mut config = Config {
        public_url: public_url(listen),
        client: Some(client.clone()),
        ..Config::new(server_name.clone(), data.path())
    };
    behaviour.apply(&mut config)?;
    let homeserver = Homeserver::open(config, Arc::new(SystemClock)).await.context("the homeserver cannot start")?;
    let irc = match (settings, own) {
        (Some(settings), Some(own)) => {
            Some(Irc::start(settings, own, &homeserver, data.path(), listen, &server_name).await?)
        }
        _ => None,
    };
    for registration in others {
        homeserver.add_appservice(registration, &client).await?;
    }
    if let Some(folder) = behaviour.appservices() {
        let watched = homeserver.watch_appservices(&folder, client).await;
        watched.with_context(|| format!("the registrations in {} cannot be read", folder.display()))?;
    }
    homeserver.serve_added_appservices().await?;
    homeserver.start_pushing(Arc::new(HttpGateway::new(args.private_push_gateways)?)).await?;
    let router = irc.iter().fold(homeserver.router(), |router, irc| router.nest(irc::PATH, irc.running.open()));
    let server = Server::start(listener, router);
    let told = irc.as_ref().map(|irc| irc.banner(&args.channels, &server_name));
    println!("{}", Banner { listen, server_name: &server_name, data: data.path(), irc: told });
    let telling = irc
        .as_ref()
        .map(|irc| tokio::spawn(connections::tell(irc.running.bridge().sessions().clone(), irc.server.clone())));

    runtime::until_stopped().await?;
    eprintln!("Stopping…");
    if let Some(telling) = telling {
        telling.abort();
    }
    server.stop().await;
    if let Some(irc) = irc {
        irc.running.stop(DRAIN).await;
    }
    homeserver.shutdown().await;
    Ok(())
}

/// How long an application service may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

fn cannot_listen(args: &UpArgs) -> String {
    format!("cannot listen on {}; --listen takes another address", args.listen)
}

/// Where clients reach the server; unknown, if it listens everywhere.
fn public_url(listen: SocketAddr) -> Option<String> {
    (!listen.ip().is_unspecified()).then(|| format!("http://{listen}"))
}

/// The application services beside the bridge, after looking whether they get along with it.
fn registrations(
    args: &UpArgs,
    own: Option<&Registration>,
    server_name: &ServerName,
) -> anyhow::Result<Vec<Registration>> {
    let others: Result<Vec<Registration>, _> = args.appservices.iter().map(|path: &_| read(Path::new(path))).collect();
    let others = others?;
    let all = own.into_iter().chain(&others).cloned().collect();
    for overlap in RegistrationSet::new(all, server_name)?.overlaps() {
        warn!("{}", describe(&overlap));
    }
    Ok(others)
}
