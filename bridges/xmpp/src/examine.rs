//! Looks whether an XMPP server is set up as the bridge needs it, and says which line of its configuration to change.
//!
//! It connects as the component: a bridge that runs meanwhile loses its link for a moment.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    config::XmppConfig,
    jid::Jid,
    link::{Connection, Endpoint, LinkError, Timing},
    network::files,
    stanza::{Condition, Element, ElementExt as _, StanzaError, ns},
};

/// How long each answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In words.
    pub text: String,
    /// What to change, where something is to be changed: a line for Prosody, and one for ejabberd.
    pub fix: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it must be.
    Well,
    /// The bridge works, but not all of it, or not as well as it could.
    Weak,
    /// The bridge does not work.
    Broken,
}

fn finding(what: &'static str, verdict: Verdict, text: impl Into<String>) -> Finding {
    Finding { what, verdict, text: text.into(), fix: None }
}

impl Finding {
    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Looks at everything, in the order in which one thing needs the other.
pub async fn examine(config: &XmppConfig) -> Vec<Finding> {
    let component = &config.component;
    let endpoint = Endpoint {
        host: component.host.clone(),
        port: component.port,
        domain: component.domain.clone(),
        secret: component.secret.0.clone(),
        max_stanza: component.max_stanza_bytes,
    };
    let mut findings = Vec::new();
    let connection = match open(&endpoint).await {
        Ok(connection) => connection,
        Err(error) => return vec![not_linked(&endpoint, &error)],
    };
    findings.push(finding("component", Verdict::Well, format!("{} accepts {}", endpoint.host, endpoint.domain)));
    let mut probe = Probe { connection, domain: endpoint.domain.clone(), next: 0 };
    let services = probe.services().await;
    findings.push(probe.rooms(config, &services).await);
    findings.push(probe.upload(config, &services).await);
    findings.push(conflict(&endpoint, probe).await);
    findings.push(limit(&endpoint).await);
    findings
}

async fn open(endpoint: &Endpoint) -> Result<Connection, LinkError> {
    let timing = Timing { connect: PATIENCE, ..Timing::default() };
    let mut last = LinkError::Silent;
    // The server may still hold a link that has just ended.
    for _ in 0..5 {
        match Connection::open(endpoint, timing, Arc::default()).await {
            Err(LinkError::Fault(fault)) if fault.is_conflict() => last = LinkError::Fault(fault),
            other => return other,
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    Err(last)
}

fn not_linked(endpoint: &Endpoint, error: &LinkError) -> Finding {
    let Endpoint { host, port, domain, .. } = endpoint;
    let broken = finding("component", Verdict::Broken, error.to_string());
    match error {
        LinkError::Connect(_) => broken.fix(format!(
            "let the server listen for components where `xmpp.component` says ({host}:{port})\n\
             Prosody:  component_ports = {{ {port} }}; component_interfaces = {{ \"{host}\" }}\n\
             ejabberd: listen: [{{port: {port}, ip: \"{host}\", module: ejabberd_service, hosts: {{\"{domain}\": {{password: \"SECRET\"}}}}}}]"
        )),
        LinkError::NotAccepted(_) => broken.fix(format!(
            "give server and bridge the same domain and secret\n\
             Prosody:  Component \"{domain}\"; component_secret = \"SECRET\"\n\
             ejabberd: hosts: {{\"{domain}\": {{password: \"SECRET\"}}}} below the listener of ejabberd_service"
        )),
        LinkError::Fault(fault) if fault.is_conflict() => broken.fix(format!(
            "stop the other bridge that uses {domain}, or let a new link take the old one's place\n\
             Prosody:  component_conflict_resolve = \"kick_old\""
        )),
        _ => broken,
    }
}

/// What stands beside the component on its server.
struct Services {
    /// By address, with what each says of itself.
    known: BTreeMap<String, Element>,
    /// Why a service that is looked for is not among them.
    lacking: String,
}

/// A link on which one question is asked at a time.
struct Probe {
    connection: Connection,
    domain: String,
    next: u32,
}

/// Why a question has no answer.
enum NoAnswer {
    Refused(StanzaError),
    Silent,
    Gone,
}

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Silent => f.write_str("no answer"),
            Self::Gone => f.write_str("the server ended the link"),
        }
    }
}

impl Probe {
    fn own(&self) -> String {
        format!("bridge@{}/check", self.domain)
    }

    async fn send(&self, mut stanza: Element) -> Result<(), NoAnswer> {
        stanza.set("from", self.own());
        self.connection.outlet().send(&stanza).await.map_err(|_| NoAnswer::Gone)
    }

    async fn hear(&mut self, fits: impl Fn(&Element) -> bool) -> Result<Element, NoAnswer> {
        let hearing = async {
            loop {
                match self.connection.next(&|_| true, &|_| ()).await {
                    Ok(stanza) if fits(&stanza) => return Ok(stanza),
                    Ok(_) => {}
                    Err(_) => return Err(NoAnswer::Gone),
                }
            }
        };
        tokio::time::timeout(PATIENCE, hearing).await.unwrap_or(Err(NoAnswer::Silent))
    }

    async fn ask(&mut self, to: &str, kind: &str, payload: Element) -> Result<Element, NoAnswer> {
        self.next += 1;
        let id = format!("check-{}", self.next);
        self.send(Element::stanza("iq", "", to, kind).with("id", id.clone()).child(payload)).await?;
        let answer = self.hear(|stanza| stanza.name() == "iq" && stanza.attr("id") == Some(&id)).await?;
        if answer.kind() == "error" { Err(NoAnswer::Refused(StanzaError::of(&answer))) } else { Ok(answer) }
    }

    /// The services beside the component, as the server whose domain is above its own lists them.
    async fn services(&mut self) -> Services {
        let Some((_, server)) = self.domain.split_once('.') else {
            return Services { known: BTreeMap::new(), lacking: format!("there is no server above {}", self.domain) };
        };
        let server = server.to_owned();
        let items = match self.ask(&server, "get", Element::bare("query", ns::DISCO_ITEMS)).await {
            Ok(items) => items,
            Err(error) => {
                let lacking = format!("{server} does not say which services it has ({error})");
                return Services { known: BTreeMap::new(), lacking };
            }
        };
        let query = items.get_child("query", ns::DISCO_ITEMS);
        let items = query.into_iter().flat_map(|query| query.find_all("item", ns::DISCO_ITEMS));
        let jids: Vec<String> = items.filter_map(|item| item.attr("jid").map(str::to_owned)).take(30).collect();
        let own = self.domain.clone();
        let mut known = BTreeMap::new();
        for jid in jids.into_iter().filter(|jid| *jid != own) {
            if let Ok(info) = self.ask(&jid, "get", Element::bare("query", ns::DISCO_INFO)).await {
                known.insert(jid, info);
            }
        }
        Services { known, lacking: format!("{server} lists none") }
    }

    /// Makes a room, enters it, asks whether it is in it, and takes it away again.
    async fn rooms(&mut self, config: &XmppConfig, services: &Services) -> Finding {
        let has = |info: &&Element| {
            let query = info.get_child("query", ns::DISCO_INFO);
            query
                .into_iter()
                .flat_map(|query| query.find_all("feature", ns::DISCO_INFO))
                .any(|known| known.attr("var") == Some(ns::MUC))
        };
        let found = services.known.iter().find(|(_, info)| has(info)).map(|(jid, _)| jid.clone());
        let bridged = config.rooms.bridged.first().and_then(|bridged| Some(bridged.jid.split_once('@')?.1.to_owned()));
        let Some(service) = bridged.or(found) else {
            return finding(
                "rooms",
                Verdict::Weak,
                format!(
                    "no service for rooms to try: {}; those of others may be bridged all the same",
                    services.lacking
                ),
            );
        };
        let room = format!("landbridge-check-{:08x}@{service}", rand::random::<u32>());
        match self.try_room(&room).await {
            Ok(()) => finding("rooms", Verdict::Well, format!("{service} lets the bridge in, and knows that it is there")),
            Err(NoAnswer::Refused(error)) if matches!(error.condition, Condition::NotAllowed | Condition::Forbidden) => {
                finding("rooms", Verdict::Weak, format!("{service} lets the bridge make no room to try ({error}); rooms that are there are not concerned"))
                    .fix("only if portals shall make rooms:\nProsody:  restrict_room_creation = false\nejabberd: mod_muc: {access_create: all}")
            }
            Err(error) => finding("rooms", Verdict::Broken, format!("{service}: {error}"))
                .fix("Prosody:  Component \"muc.…\" \"muc\"\nejabberd: modules: {mod_muc: {}}, and `access: all` in it"),
        }
    }

    async fn try_room(&mut self, room: &str) -> Result<(), NoAnswer> {
        let occupant = format!("{room}/check");
        self.send(Element::stanza("presence", "", &occupant, "").child(Element::bare("x", ns::MUC))).await?;
        let from = Jid::parse(&occupant);
        let entered = self.hear(|stanza| stanza.name() == "presence" && stanza.from() == from).await?;
        if entered.kind() == "error" {
            return Err(NoAnswer::Refused(StanzaError::of(&entered)));
        }
        let owner = |what: Element| Element::bare("query", ns::MUC_OWNER).child(what);
        self.ask(room, "set", owner(Element::bare("x", ns::DATA).with("type", "submit"))).await?;
        let pinged = self.ask(&occupant, "get", Element::bare("ping", ns::PING)).await;
        let destroyed = self.ask(room, "set", owner(Element::bare("destroy", ns::MUC_OWNER))).await;
        match pinged {
            // The room hands the ping on to us, who do not answer here: then we are in.
            Ok(_) | Err(NoAnswer::Silent) => destroyed.map(drop),
            Err(NoAnswer::Refused(error)) if error.condition != Condition::NotAcceptable => destroyed.map(drop),
            Err(error) => Err(error),
        }
    }

    /// Stores a file and fetches it again.
    async fn upload(&mut self, config: &XmppConfig, services: &Services) -> Finding {
        const TEXT: &[u8] = b"stored by landbridge check";
        if !config.media.upload {
            return finding("upload", Verdict::Well, "files are linked to; none is stored (`media.upload: false`)");
        }
        let linked =
            |text: String| finding("upload", Verdict::Weak, format!("{text}; files from Matrix are linked to instead"));
        let (service, lacking) = match &config.media.upload_service {
            Some(jid) => match self.ask(jid, "get", Element::bare("query", ns::DISCO_INFO)).await {
                Ok(info) => (
                    Jid::parse(jid).and_then(|jid| files::service(&info, jid)),
                    format!("{jid} (`media.upload_service`) is none"),
                ),
                Err(error) => (None, format!("{jid} (`media.upload_service`) does not answer ({error})")),
            },
            None => {
                let service = services.known.iter().find_map(|(jid, info)| files::service(info, Jid::parse(jid)?));
                (service, services.lacking.clone())
            }
        };
        let Some(service) = service else {
            return linked(format!("no upload service: {lacking}")).fix(
                "Prosody:  Component \"upload.…\" \"http_file_share\"\n\
                 ejabberd: modules: {mod_http_upload: {put_url: \"https://…\"}}\n\
                 where it stands elsewhere: media: {upload_service: \"upload.…\"}",
            );
        };
        let request = files::slot_request("check.txt", Some("text/plain"), TEXT.len());
        let jid = service.jid.to_string();
        let slot = match self.ask(&jid, "get", request).await {
            Ok(answer) => files::slot(&answer),
            Err(error) => {
                return linked(format!("{jid} gives the bridge no place for files ({error})")).fix(format!(
                    "Prosody:  http_file_share_access = {{ \"{0}\" }}\n\
                     ejabberd: acl: {{bridge: {{server: \"{0}\"}}}}, and `access` of mod_http_upload allows it",
                    self.domain
                ));
            }
        };
        let (Some(slot), Ok(http)) = (slot, reqwest::Client::builder().timeout(PATIENCE).build()) else {
            return linked(format!("{jid} gives places that cannot be understood"));
        };
        if let Err(error) = files::put(&http, &slot, Some("text/plain"), TEXT.to_vec()).await {
            return linked(format!("nothing can be stored at {}: {error}", slot.put)).fix(
                "Prosody:  http_external_url must lead to the server, and its host part be http_host\nejabberd: put_url of mod_http_upload must lead to the listener with request_handlers: {\"/upload\": mod_http_upload}",
            );
        }
        match files::fetch(&http, &slot.get, 1 << 20).await {
            Some(bytes) if bytes == TEXT => {
                finding("upload", Verdict::Well, format!("{jid} stores files and gives them back"))
            }
            Some(_) => linked(format!("{} gives something else than what was stored", slot.get)),
            None => linked(format!("{} does not give back what was stored", slot.get))
                .fix("Prosody:  http_external_url\nejabberd: get_url of mod_http_upload"),
        }
    }
}

/// What the server does about a second link: after a half-open connection, the next one is a second.
async fn conflict(endpoint: &Endpoint, mut first: Probe) -> Finding {
    let timing = Timing { connect: PATIENCE, ..Timing::default() };
    match Connection::open(endpoint, timing, Arc::default()).await {
        Err(LinkError::Fault(fault)) if fault.is_conflict() => finding(
            "conflict",
            Verdict::Weak,
            "the server refuses a new link until it has noticed that the old one is gone, which may take minutes",
        )
        .fix("Prosody:  component_conflict_resolve = \"kick_old\""),
        Err(error) => finding("conflict", Verdict::Weak, format!("a second link: {error}")),
        Ok(second) => {
            let domain = first.domain.clone();
            let alive = first.ask(&domain, "get", Element::bare("ping", ns::PING)).await;
            drop(second);
            if matches!(alive, Err(NoAnswer::Gone)) {
                finding("conflict", Verdict::Well, "a new link takes the place of an old one")
            } else {
                finding("conflict", Verdict::Well, "the server takes several links at once")
            }
        }
    }
}

/// Whether the server takes a stanza as large as the bridge would send.
async fn limit(endpoint: &Endpoint) -> Finding {
    let max = endpoint.max_stanza;
    let Ok(connection) = open(endpoint).await else {
        return finding("stanzas", Verdict::Weak, "it could not be tried");
    };
    let mut probe = Probe { connection, domain: endpoint.domain.clone(), next: 0 };
    let own = probe.own();
    let text = "x".repeat(max.saturating_sub(600));
    let large = Element::stanza("message", "", &own, "")
        .with("id", "large")
        .child(Element::bare("body", ns::COMPONENT).with_text(text));
    let sent = probe.send(large).await;
    let domain = probe.domain.clone();
    let alive = probe.ask(&domain, "get", Element::bare("ping", ns::PING)).await;
    if sent.is_ok() && !matches!(alive, Err(NoAnswer::Gone)) {
        return finding("stanzas", Verdict::Well, format!("the server takes stanzas of {max} bytes"));
    }
    finding("stanzas", Verdict::Broken, format!("the server ends the link on a stanza of {max} bytes")).fix(format!(
        "lower `xmpp.component.max_stanza_bytes`, or raise the server's limit\n\
         Prosody:  component_stanza_size_limit = {max}\n\
         ejabberd: max_stanza_size: {max} in the listener of ejabberd_service"
    ))
}
