//! What the parts of a running bridge have in common.

use std::sync::Arc;

use tokio::sync::Notify;

use super::{Homeserver, Names, Speakers, mappings::Mappings};
use crate::{
    clock::Clock,
    dispatch::{DispatchOptions, Kill, lanes::Lanes},
    metrics::Metrics,
    network::Network,
    store::Store,
};

/// What every part of a running bridge stands on. There is one for each bridge, and every part holds it.
pub(crate) struct Parts<N: Network> {
    /// The bridge's id, which never changes.
    pub(crate) bridge: String,
    pub(crate) network: Arc<N>,
    pub(crate) names: Arc<Names>,
    pub(crate) mappings: Mappings<N::Room>,
    pub(crate) homeserver: Arc<dyn Homeserver>,
    pub(crate) speakers: Arc<dyn Speakers<N>>,
    pub(crate) lanes: Arc<Lanes>,
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) kill: Kill,
    pub(crate) options: DispatchOptions,
    /// Told when the homeserver is heard from: whoever waits for it tries again.
    pub(crate) alive: Arc<Notify>,
}
