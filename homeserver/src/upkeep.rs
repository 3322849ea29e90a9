//! What has to be done from time to time.

use std::{sync::Arc, time::Duration};

use crate::{
    Config, clock::Clock, deletion::Deletion, departure::Departure, devices::ToDevice, http::ApiState, media::Media,
    sync::Presences,
};

/// How often files, and what waits for devices, are looked after.
const EVERY: Duration = Duration::from_secs(3600);

/// In which of these rounds all bytes are looked through that lie there.
const SWEEPS: u64 = 24;

/// How old bytes without a row are when they are cleared away: an upload may take that long, in milliseconds.
const ABANDONED: i64 = 24 * 60 * 60 * 1000;

/// How often it is looked who is gone.
const WHO_IS_GONE: Duration = Duration::from_secs(30);

/// Begins to look after files, presence and what waits for devices until deliveries stop.
pub(crate) fn start(config: &Config, api: &ApiState, clock: Arc<dyn Clock>) {
    let (media, retention) = (api.parts.media.clone(), config.media_retention);
    api.parts.deliveries.keep(tokio::spawn(look_after(media, retention, clock)));
    api.parts.deliveries.keep(tokio::spawn(see_who_is_gone(api.parts.presences.clone())));
    api.parts.deliveries.keep(tokio::spawn(cut_backlogs_short(api.parts.to_device.clone())));
    api.parts.deliveries.keep(tokio::spawn(finish_departures(api.parts.departure.clone())));
    api.parts.deliveries.keep(tokio::spawn(finish_deletions(api.parts.deletion.clone())));
}

async fn finish_departures(departure: Departure) {
    if let Err(error) = departure.resume().await {
        tracing::error!(%error, "closed accounts are still in rooms");
    }
}

async fn finish_deletions(deletion: Deletion) {
    if let Err(error) = deletion.resume().await {
        tracing::error!(%error, "rooms are not deleted yet");
    }
    loop {
        if let Err(error) = deletion.forget_old().await {
            tracing::error!(%error, "who left deleted rooms is not forgotten");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn cut_backlogs_short(to_device: ToDevice) {
    loop {
        if let Err(error) = to_device.cut_short().await {
            tracing::error!(%error, "what waits for devices was not cut short");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn see_who_is_gone(presences: Presences) {
    loop {
        tokio::time::sleep(WHO_IS_GONE).await;
        if let Err(error) = presences.expire().await {
            tracing::error!(%error, "presence was not looked after");
        }
    }
}

async fn look_after(media: Media, retention: Option<Duration>, clock: Arc<dyn Clock>) {
    for round in 0_u64.. {
        if round % SWEEPS == 0 {
            sweep(&media, i64::from(clock.now().0)).await;
        }
        let now = i64::from(clock.now().0);
        let age = retention.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        match media.purge(age.map(|age| now.saturating_sub(age))).await {
            Ok(purged) if purged.files > 0 => {
                tracing::info!(files = purged.files, bytes = purged.bytes, "files were cleared away");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "files were not cleared away"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn sweep(media: &Media, now: i64) {
    match media.sweep(now.saturating_sub(ABANDONED)).await {
        Ok(swept) if swept > 0 => tracing::info!(files = swept, "bytes that nobody finds were cleared away"),
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "bytes that nobody finds were not cleared away"),
    }
}
