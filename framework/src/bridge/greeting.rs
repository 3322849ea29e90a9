//! Finding the homeserver, and being found by it.

use std::sync::Arc;

use super::{HomeserverError, parts::Parts};
use crate::network::Network;

/// Makes sure that the bot is there, and asks the homeserver to look for us: that also ends its waiting, if it could not reach us
/// before. A homeserver that is late is waited for.
pub(super) async fn greet<N: Network>(parts: Arc<Parts<N>>, display_name: Option<String>) {
    let Parts { homeserver, names, alive, options, .. } = &*parts;
    let mut wait = options.first_wait;
    loop {
        let registered = match homeserver.register(names.bot.localpart()).await {
            Ok(()) | Err(HomeserverError::InUse) => Ok(()),
            Err(error) => Err(error),
        };
        let named = match (registered, &display_name) {
            (Ok(()), Some(name)) => homeserver.set_display_name(&names.bot, name).await,
            (registered, _) => registered,
        };
        let pinged = match named {
            Ok(()) => homeserver.ping("landbridge").await,
            Err(error) => Err(error),
        };
        alive.notify_waiters();
        match pinged {
            Ok(()) => return tracing::info!("the homeserver reaches us, and we reach it"),
            Err(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_))) => {
                tracing::warn!(%error, "waiting for the homeserver");
            }
            Err(error) => return tracing::warn!(%error, "the homeserver refused to ping us"),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(options.longest_wait);
    }
}
