//! A homeserver alone, with no bridge: ours, or Synapse to compare with.

use std::path::{Path, PathBuf};

use url::Url;

use crate::{Landbridge, On, Port, Process, Synapse, Workdir, http};

/// A running homeserver.
#[derive(Debug)]
pub struct Homeserver {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Ours {
        landbridge: Landbridge,
        port: Port,
        dir: Workdir,
    },
    /// The folder holds the registration.
    Synapse(Synapse, Workdir),
}

impl Homeserver {
    /// Starts one in an empty folder.
    pub async fn start(on: On) -> Self {
        Self::start_serving(on, None, None).await
    }

    /// Starts ours so that it behaves as a file says (see homeserver.example.yaml).
    pub async fn start_behaving(behaviour: &str) -> Self {
        Self::start_serving(On::Embedded, None, Some(behaviour)).await
    }

    /// Starts one that serves the application service of a registration.
    pub async fn start_with(on: On, registration: &str) -> Self {
        Self::start_serving(on, Some(registration), None).await
    }

    /// Ours, with an application service, behaving as the text of a `--homeserver-config` says.
    pub async fn start_with_behaving(registration: &str, behaviour: &str) -> Self {
        Self::start_serving(On::Embedded, Some(registration), Some(behaviour)).await
    }

    async fn start_serving(on: On, registration: Option<&str>, behaviour: Option<&str>) -> Self {
        let dir = Workdir::new("homeserver");
        let registration = registration.map(|text| dir.write("registration.yaml", text));
        let kind = match on {
            On::Synapse => {
                let registrations: Vec<&Path> = registration.iter().map(|path| &**path).collect();
                Kind::Synapse(Synapse::start(&registrations).await, dir)
            }
            On::Embedded => {
                let port = Port::free();
                let data = dir.path().join("data").display().to_string();
                let mut args =
                    vec!["up".to_owned(), "--data".to_owned(), data, "--listen".to_owned(), port.address().to_string()];
                if let Some(path) = &registration {
                    args.extend(["--appservice".to_owned(), path.display().to_string()]);
                }
                if let Some(behaviour) = behaviour {
                    let path = dir.write("homeserver.yaml", behaviour);
                    args.extend(["--homeserver-config".to_owned(), path.display().to_string()]);
                }
                let landbridge = Landbridge::start(dir.path(), args);
                Kind::Ours { landbridge, port, dir }
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
            Kind::Synapse(synapse, _) => synapse.url(),
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
            Kind::Synapse(synapse, _) => {
                synapse.kill();
                synapse.start_again().await;
            }
        }
        self.ready().await;
    }

    /// Kills ours and starts it again, to die by itself at one of its kill points.
    pub async fn started_again_to_die_at(&mut self, point: &str) {
        let Kind::Ours { landbridge, .. } = &mut self.kind else { panic!("Synapse has no kill points") };
        landbridge.kill();
        landbridge.start_again(&[("LANDBRIDGE_KILL_POINT", point)]);
        self.ready().await;
    }

    /// Waits for the death that was planned, and starts it again to live.
    pub async fn has_died_and_is_started_again(&mut self) {
        let Kind::Ours { landbridge, .. } = &mut self.kind else { panic!("Synapse has no kill points") };
        let status = landbridge.process().end().await;
        assert!(Process::was_killed(status), "it died as planned, not otherwise: {status}");
        landbridge.start_again(&[]);
        self.ready().await;
    }

    /// The data directory of ours.
    pub fn data(&self) -> PathBuf {
        match &self.kind {
            Kind::Ours { dir, .. } | Kind::Synapse(_, dir) => dir.path().join("data"),
        }
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
