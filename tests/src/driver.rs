//! A client in a process of its own, driven over JSON lines: a request has an id and is answered under it; whatever comes in
//! between is taken to whoever listens.

use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, Command},
    sync::{mpsc, oneshot},
};

use crate::{files, transcript::PATIENCE};

type Waiting = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// A running client.
#[derive(Debug)]
pub(crate) struct Driver {
    requests: mpsc::UnboundedSender<String>,
    waiting: Waiting,
    next: AtomicU64,
    _child: Child,
}

impl Driver {
    /// Starts a script of this crate with the Python of the test environment. `came` gets every line that is no answer.
    pub(crate) fn start(script: &str, arguments: &[&str], came: impl Fn(Value) + Send + 'static) -> Self {
        let mut command = Command::new(files::python());
        command.arg(files::own(script)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("the client starts");
        let mut input = child.stdin.take().expect("piped");
        let output = child.stdout.take().expect("piped");
        let (requests, mut queue) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(line) = queue.recv().await {
                if input.write_all(line.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
        let waiting = Waiting::default();
        tokio::spawn({
            let waiting = waiting.clone();
            async move {
                let mut lines = BufReader::new(output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    receive(&line, &waiting, &came);
                }
            }
        });
        Self { requests, waiting, next: AtomicU64::new(1), _child: child }
    }

    /// Asks, and fails the test when that is refused.
    pub(crate) async fn ask(&self, what: &str, arguments: Value) -> Value {
        self.try_ask(what, arguments).await.unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Asks.
    pub(crate) async fn try_ask(&self, what: &str, arguments: Value) -> Result<Value, String> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().insert(id, answer);
        let request = json!({ "id": id, "do": what, "args": arguments });
        self.requests.send(format!("{request}\n")).map_err(|_| "the client is gone".to_owned())?;
        match tokio::time::timeout(PATIENCE * 2, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("the client is gone".to_owned()),
            Err(_) => Err(format!("no answer to {request}")),
        }
    }
}

/// Sorts one line: an answer, or something that came.
fn receive(line: &str, waiting: &Waiting, came: &impl Fn(Value)) {
    let Ok(mut line) = serde_json::from_str::<Value>(line) else { return };
    let Some(id) = line["id"].as_u64() else {
        came(line);
        return;
    };
    let Some(asker) = waiting.lock().remove(&id) else { return };
    let answer = match line["error"].as_str() {
        Some(error) => Err(error.to_owned()),
        None => Ok(line["ok"].take()),
    };
    let _ = asker.send(answer);
}
