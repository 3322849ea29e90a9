//! `landbridge up`

mod address;
mod banner;
mod bridge;
mod configured;
mod data;
mod irc;
mod settings;
mod surroundings;

use std::{collections::HashSet, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use landbridge_homeserver::{Config, Homeserver, clock::SystemClock, push::HttpGateway};
use landbridge_registration::{Registration, RegistrationSet, read};
use ruma::ServerName;
use tokio::net::TcpListener;
use tracing::warn;

use self::{
    banner::Banner,
    bridge::{Attended, Planned},
    data::DataDir,
    settings::Settings,
    surroundings::Surroundings,
};
use crate::{args::UpArgs, registration::describe, runtime, serve::Server};

pub(crate) use self::{configured::look, surroundings::database};

pub(crate) fn main(args: UpArgs) -> anyhow::Result<()> {
    runtime::block_on(up(args))?
}

async fn up(args: UpArgs) -> anyhow::Result<()> {
    let behaviour = Settings::read(args.homeserver_config.as_deref())?;
    let data = DataDir::open(&args.data)?;
    let server_name = data.server_name(args.server_name.as_deref())?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| cannot_listen(&args))?;
    let listen = listener.local_addr()?;
    let planned = planned(&args, &Surroundings { data: data.path(), server_name: &server_name, listen })?;
    let others = registrations(&args, &planned, &server_name)?;

    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
    let mut config = Config {
        public_url: public_url(listen),
        client: Some(client.clone()),
        ..Config::new(server_name.clone(), data.path())
    };
    behaviour.apply(&mut config)?;
    let homeserver = Homeserver::open(config, Arc::new(SystemClock)).await.context("the homeserver cannot start")?;
    let mut bridges = Vec::with_capacity(planned.len());
    for planned in planned {
        bridges.push(planned.start(&homeserver).await?);
    }
    for registration in others {
        homeserver.add_appservice(registration, &client).await?;
    }
    if let Some(folder) = behaviour.appservices() {
        let watched = homeserver.watch_appservices(&folder, client).await;
        watched.with_context(|| format!("the registrations in {} cannot be read", folder.display()))?;
    }
    homeserver.serve_added_appservices().await?;
    homeserver.start_pushing(Arc::new(HttpGateway::new(args.private_push_gateways)?)).await?;
    let router = bridges.iter().fold(homeserver.router(), |router, bridge| bridge.serve(router));
    let server = Server::start(listener, router);
    let told = bridges.iter().map(bridge::Embedded::banner).collect();
    println!("{}", Banner { listen, server_name: &server_name, data: data.path(), bridges: told });
    let mut attended: Vec<Attended> = Vec::with_capacity(bridges.len());
    for bridge in bridges {
        attended.push(bridge.attend().await?);
    }

    runtime::until_stopped().await?;
    eprintln!("Stopping…");
    server.stop().await;
    futures_util::future::join_all(attended.into_iter().map(Attended::stop)).await;
    homeserver.shutdown().await;
    Ok(())
}

/// The bridges of this process.
fn planned(args: &UpArgs, around: &Surroundings<'_>) -> anyhow::Result<Vec<Planned>> {
    let irc = irc::config(args, around)?.map(|config| Planned::new(config, args.channels.clone()));
    let mut planned: Vec<Planned> = irc.into_iter().collect();
    for file in &args.bridges {
        planned.push(configured::plan(file, around)?);
    }
    let mut taken = HashSet::new();
    for Planned { registration, database, .. } in &planned {
        if !taken.insert(&registration.id) || !taken.insert(database) {
            bail!(
                "two bridges are called {} or share a database. Give one of them a `registration` with another id and \
                 other prefixes, and a `database` of its own.",
                registration.id
            );
        }
    }
    Ok(planned)
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

/// The application services beside the bridges of this process, after looking whether they all get along.
fn registrations(args: &UpArgs, planned: &[Planned], server_name: &ServerName) -> anyhow::Result<Vec<Registration>> {
    let others: Result<Vec<Registration>, _> = args.appservices.iter().map(|path: &_| read(Path::new(path))).collect();
    let others = others?;
    let all = planned.iter().map(|planned| &planned.registration).chain(&others).cloned().collect();
    for overlap in RegistrationSet::new(all, server_name)?.overlaps() {
        warn!("{}", describe(&overlap));
    }
    Ok(others)
}
