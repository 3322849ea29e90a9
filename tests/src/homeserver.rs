//! A homeserver alone, with no bridge: ours, or Synapse to compare with.

use url::Url;

use crate::{Landbridge, On, Port, Process, Synapse, Workdir, http};

/// A running homeserver.
#[derive(Debug)]
pub struct Homeserver {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ours { landbridge: Landbridge, port: Port, _dir: Workdir },
    Synapse(Synapse),
}

impl Homeserver {
    /// Starts one in an empty folder.
    pub async fn start(on: On) -> Self {
        let kind = match on {
            On::Synapse => Kind::Synapse(Synapse::start(&[]).await),
            On::Embedded => {
                let (dir, port) = (Workdir::new("homeserver"), Port::free());
                let data = dir.path().join("data").display().to_string();
                let listen = port.address().to_string();
                let landbridge = Landbridge::start(dir.path(), ["up", "--data", &data, "--listen", &listen]);
                Kind::Ours { landbridge, port, _dir: dir }
            }
        };
        let mut homeserver = Self { kind };
        homeserver.ready().await;
        homeserver
    }

    /// The base URL of its client-server API.
    pub fn url(&self) -> Url {
        match &self.kind {
            Kind::Ours { port, .. } => Url::parse(&format!("http://{}", port.address())).expect("a URL"),
            Kind::Synapse(synapse) => synapse.url(),
        }
    }

    /// An address of it.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.url().as_str().trim_end_matches('/'))
    }

    /// Kills it (SIGKILL) and starts it again.
    pub async fn killed_and_started_again(&mut self) {
        match &mut self.kind {
            Kind::Ours { landbridge, .. } => {
                landbridge.kill();
                landbridge.start_again(&[]);
            }
            Kind::Synapse(synapse) => {
                synapse.kill();
                synapse.start_again().await;
            }
        }
        self.ready().await;
    }

    async fn ready(&mut self) {
        let versions = self.path("/_matrix/client/versions");
        let Kind::Ours { landbridge, .. } = &mut self.kind else { return };
        let http = http();
        let answers =
            async |_: &Process| http.get(&versions).send().await.is_ok_and(|answer| answer.status().is_success());
        landbridge.process().until("landbridge answers", answers).await;
    }
}
