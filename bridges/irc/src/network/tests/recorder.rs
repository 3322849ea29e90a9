//! The network behind a recorder.

use std::sync::Arc;

use landbridge::network::Network as _;

use crate::{IrcNetwork, config::IrcConfig};

/// A framework that only writes down what it is told.
pub(super) type Recorder = landbridge::testing::Recorder<IrcNetwork>;

/// A network with this configuration (JSON, `servers` added if it has none), and its recorder.
pub(super) async fn network(config: &str) -> (IrcNetwork, Arc<Recorder>) {
    let mut config: serde_json::Value = serde_json::from_str(config).unwrap();
    if config.get("servers").is_none() {
        config["servers"] = serde_json::json!([{ "host": "127.0.0.1", "port": 1, "tls": false }]);
    }
    let config: IrcConfig = serde_json::from_value(config).unwrap();
    let (recorder, host) = Recorder::new();
    (IrcNetwork::start(config, host).await.unwrap(), recorder)
}
