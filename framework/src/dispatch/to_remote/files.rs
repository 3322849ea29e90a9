//! Files that travel by a link: stored once, before what says the link is said.

use std::sync::Arc;

use super::{End, Held, ToRemote};
use crate::{
    bridge::HomeserverError,
    clock::Millis,
    dispatch::{commit_patiently, outcome},
    metrics::Outcome,
    network::{Network, RemoteOp, op::UPLOAD_URL},
    store::{Change, Memory, OutboxRow},
};

impl<N: Network> ToRemote<N> {
    /// Stores the file of an operation and puts its address into it, once.
    pub(super) async fn store_file(
        &self,
        row: &OutboxRow,
        op: &mut RemoteOp<N>,
        held: &mut Held<N>,
        deadline: Millis,
    ) -> Result<(), End<N>> {
        let Some(upload) = op.upload.clone() else { return Ok(()) };
        let mut wait = self.parts.options.first_wait;
        let failed = |error: String| End::Failed {
            why: Outcome::Refused,
            tell: Some(outcome::too_old(N::INFO.name, &format!("the file could not be stored: {error}"))),
            park: Some(error),
        };
        let mxc = loop {
            let stored = self
                .parts
                .homeserver
                .upload(&self.parts.names.bot, &upload.name, &upload.mime, upload.bytes.clone())
                .await;
            match stored {
                Ok(mxc) => break mxc,
                Err(error @ (HomeserverError::Unavailable(_) | HomeserverError::Limited(_)))
                    if self.parts.clock.now() < deadline =>
                {
                    tracing::info!(seq = row.seq, %error, "a file waits to be stored");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(self.parts.options.longest_wait);
                }
                Err(error) => return Err(failed(error.to_string())),
            }
        };
        let url = self.parts.homeserver.public_url(&mxc, &upload.name);
        let url = url.ok_or_else(|| failed("no public address for files is configured".to_owned()))?;
        op.upload = None;
        op.wire = replace(&op.wire, UPLOAD_URL.as_bytes(), url.as_bytes());
        let text = serde_json::to_string(&op).map_err(|error| failed(error.to_string()))?;
        let memory = with_media(row.memory.as_deref(), mxc.as_str());
        if let Some(front) = held.rows.front_mut() {
            *front =
                Arc::new(OutboxRow { op: text.clone(), memory: memory.clone().or(row.memory.clone()), ..row.clone() });
        }
        let change = Change { rewrite: vec![(row.seq, text, memory)], ..Change::default() };
        commit_patiently(&self.parts.store, change, self.parts.options.first_wait).await.map(drop).ok_or(End::Stopped)
    }
}

/// What is remembered of a message, with the file that was stored for it.
fn with_media(memory: Option<&str>, mxc: &str) -> Option<String> {
    let mut memory: Memory = serde_json::from_str(memory?).ok()?;
    memory.media = Some(mxc.to_owned());
    serde_json::to_string(&memory).ok()
}

/// Replaces each `from` by `to`.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + to.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(rest[0]);
            rest = &rest[1..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn each_place_is_replaced() {
        assert_eq!(replace(b"a<>b<>", b"<>", b"xyz"), b"axyzbxyz");
        assert_eq!(replace(b"", b"<>", b"x"), b"");
    }
}
