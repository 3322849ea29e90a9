//! `landbridge deadletters`

use anyhow::{Context, bail};
use landbridge::{
    Millis,
    bridge::{DeadLetter, DeadLetters},
    config::Config,
    network::Direction,
};
use landbridge_irc::IrcNetwork;
use landbridge_xmpp::XmppNetwork;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    args::{DeadLettersCommand, SettleArgs, StoreArgs},
    networks::{Kind, kind_of},
    runtime, up,
};

/// How many `list` shows.
const SHOWN: u32 = 1000;

pub(crate) fn main(command: DeadLettersCommand) -> anyhow::Result<()> {
    runtime::block_on(settle(command))?
}

async fn settle(command: DeadLettersCommand) -> anyhow::Result<()> {
    match command {
        DeadLettersCommand::List(store) => list(&open(&store).await?).await,
        DeadLettersCommand::Show { id, store } => show(&open(&store).await?, id).await,
        DeadLettersCommand::Retry(which) => {
            let count = open(&which.store).await?.retry(id(&which)?).await?;
            report(count, "tried again: within seconds if the bridge runs, else when it starts", &which)
        }
        DeadLettersCommand::Drop(which) => {
            let count = open(&which.store).await?.drop(id(&which)?).await?;
            report(count, "dropped", &which)
        }
    }
}

/// One, or all if that is said.
fn id(which: &SettleArgs) -> anyhow::Result<Option<i64>> {
    match (which.id, which.all) {
        (Some(id), false) => Ok(Some(id)),
        (None, true) => Ok(None),
        _ => bail!("name a dead letter by its number, or all with --all"),
    }
}

fn report(count: u64, what: &str, which: &SettleArgs) -> anyhow::Result<()> {
    if let (0, Some(id)) = (count, which.id) {
        bail!("there is no dead letter {id}");
    }
    println!("{count} {what}.");
    Ok(())
}

async fn open(store: &StoreArgs) -> anyhow::Result<DeadLetters> {
    let database = match &store.config {
        Some(path) => {
            let cannot_be_read = || format!("{}", path.display());
            match kind_of(path).with_context(cannot_be_read)? {
                Kind::Irc => Config::<IrcNetwork>::read(path).with_context(cannot_be_read)?.usable()?.0.database,
                Kind::Xmpp => Config::<XmppNetwork>::read(path).with_context(cannot_be_read)?.usable()?.0.database,
            }
        }
        None => up::database(&store.data, store.network.name()),
    };
    if let Some(path) = database.strip_prefix("sqlite:") {
        // Opening it would make it.
        std::fs::metadata(path).with_context(|| format!("there is no bridge: {path}"))?;
    }
    Ok(DeadLetters::open(&database).await?)
}

async fn list(letters: &DeadLetters) -> anyhow::Result<()> {
    let letters = letters.list(SHOWN).await?;
    if letters.is_empty() {
        println!("Everything was delivered.");
        return Ok(());
    }
    for letter in &letters {
        println!("{}", line(letter));
    }
    if letters.len() == SHOWN as usize {
        println!("… and perhaps more: these are the oldest.");
    }
    println!("\n`landbridge deadletters show NUMBER` tells more; retry and drop settle it.");
    Ok(())
}

fn line(letter: &DeadLetter) -> String {
    let DeadLetter { id, lane, direction, error, attempts, at, .. } = letter;
    let tries = if *attempts == 1 { "try" } else { "tries" };
    format!("{id:>5}  {}  {}  {lane}  {attempts} {tries}: {error}", date(*at), way(*direction))
}

async fn show(letters: &DeadLetters, id: i64) -> anyhow::Result<()> {
    let Some(letter) = letters.show(id).await? else { bail!("there is no dead letter {id}") };
    println!("{}", line(&letter));
    println!("it failed when it was to be {}; this is what it was:", stage(&letter));
    let input = serde_json::from_str::<serde_json::Value>(&letter.input);
    println!("{}", input.and_then(|input| serde_json::to_string_pretty(&input)).unwrap_or(letter.input));
    Ok(())
}

fn stage(letter: &DeadLetter) -> &'static str {
    match letter.stage {
        landbridge::bridge::dead_letters::Stage::Convert => "converted",
        landbridge::bridge::dead_letters::Stage::Deliver => "delivered",
    }
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::ToRemote => "Matrix → network",
        Direction::ToMatrix => "network → Matrix",
    }
}

fn date(Millis(millis): Millis) -> String {
    let date = OffsetDateTime::from_unix_timestamp(millis / 1000).ok();
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| millis.to_string())
}
