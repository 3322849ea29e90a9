//! `landbridge up`

mod address;
mod banner;
mod data;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use landbridge_homeserver::{Config, Homeserver, clock::SystemClock};
use landbridge_registration::{Registration, RegistrationSet, read};
use ruma::ServerName;
use tokio::net::TcpListener;
use tracing::warn;

use self::{banner::Banner, data::DataDir};
use crate::{args::UpArgs, registration::describe, runtime, serve::Server};

pub(crate) fn main(args: UpArgs) -> anyhow::Result<()> {
    runtime::block_on(up(args))?
}

async fn up(args: UpArgs) -> anyhow::Result<()> {
    let data = DataDir::open(&args.data)?;
    let server_name = data.server_name(args.server_name.as_deref())?;
    let listener = TcpListener::bind(args.listen).await.with_context(|| cannot_listen(&args))?;
    let listen = listener.local_addr()?;
    let registrations = registrations(&args, &server_name)?;

    let config =
        Config { public_url: Some(format!("http://{listen}")), ..Config::new(server_name.clone(), data.path()) };
    let homeserver = Homeserver::open(config, Arc::new(SystemClock)).await.context("the homeserver cannot start")?;
    let server = Server::start(listener, homeserver.router());
    let client = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).no_proxy().build()?;
    for registration in registrations {
        homeserver.add_appservice(registration, &client).await?;
    }
    println!("{}", Banner { listen, server_name: &server_name, data: data.path(), irc: None });

    runtime::until_stopped().await?;
    eprintln!("Stopping…");
    server.stop().await;
    homeserver.shutdown().await;
    Ok(())
}

/// How long an application service may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

fn cannot_listen(args: &UpArgs) -> String {
    format!("cannot listen on {}; --listen takes another address", args.listen)
}

fn registrations(args: &UpArgs, server_name: &ServerName) -> anyhow::Result<Vec<Registration>> {
    let read: Result<Vec<Registration>, _> = args.appservices.iter().map(|path| read(path)).collect();
    let set = RegistrationSet::new(read?, server_name)?;
    for overlap in set.overlaps() {
        warn!("{}", describe(&overlap));
    }
    Ok(set.iter().map(|member| member.registration.clone()).collect())
}
