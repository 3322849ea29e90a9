//! Finds everything that is wrong with a registration at once.

use ruma::{UserId, server_name};

use crate::{
    Fault, Faults, NamespaceKind, Registration, ServiceUrl, pattern,
    yaml::{self, Node, Value},
};

impl Registration {
    /// Reads a registration.
    ///
    /// # Errors
    /// *All* faults of the text, each with its line, column, field, and what was expected. They never hold a token.
    pub fn from_yaml(text: &str) -> Result<Self, Faults> {
        let tree: Node = yaml::parse(text).map_err(|fault| Faults(vec![fault]))?;
        let faults = check(&tree);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        yaml::parse(text).map_err(|fault| Faults(vec![fault]))
    }

    /// The registration as YAML, as Synapse and others read it.
    ///
    /// # Errors
    /// If a field that has no name here cannot be written.
    pub fn to_yaml(&self) -> Result<String, Faults> {
        yaml::print(self).map_err(|error| Faults(vec![fault(None, "", error, "Remove the field.")]))
    }

    /// All faults of a registration that was made by code, such as an `id` that is empty or a regular expression that
    /// does not compile.
    ///
    /// # Errors
    /// If there is any.
    pub fn validate(&self) -> Result<(), Faults> {
        Self::from_yaml(&self.to_yaml()?).map(drop)
    }
}

/// What a field must be.
#[derive(Clone, Copy)]
enum Kind {
    Text(fn(&str) -> Result<(), Wrong>),
    Url,
    Flag,
    Words,
    Namespaces,
}

/// A problem and what to do about it.
type Wrong = (String, &'static str);

struct Field {
    name: &'static str,
    kind: Kind,
    /// What to do if it is missing; `None` if it may be.
    required: Option<&'static str>,
}

const fn field(name: &'static str, kind: Kind, required: Option<&'static str>) -> Field {
    Field { name, kind, required }
}

const FIELDS: [Field; 14] = [
    field("id", Kind::Text(check_id), Some("Add `id: ` and a name that is unique on the homeserver.")),
    field("url", Kind::Url, Some("Add `url: ` and where the homeserver reaches the bridge, or `url: null`.")),
    field("as_token", Kind::Text(check_token), Some("Add `as_token: ` and a long random secret.")),
    field("hs_token", Kind::Text(check_token), Some("Add `hs_token: ` and another long random secret.")),
    field("sender_localpart", Kind::Text(check_localpart), Some("Add `sender_localpart: ` and the bot's name.")),
    field("namespaces", Kind::Namespaces, Some("Add `namespaces:` with `users`, `aliases` and `rooms`.")),
    field("rate_limited", Kind::Flag, None),
    field("protocols", Kind::Words, None),
    field("receive_ephemeral", Kind::Flag, None),
    field("de.sorunome.msc2409.push_ephemeral", Kind::Flag, None),
    field("org.matrix.msc3202", Kind::Flag, None),
    field("org.matrix.msc3983", Kind::Flag, None),
    field("org.matrix.msc3984", Kind::Flag, None),
    field("io.element.msc4190", Kind::Flag, None),
];

/// The names of all fields.
pub(crate) fn field_names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|field| field.name)
}

fn check(tree: &Node) -> Vec<Fault> {
    let Value::Map(entries) = &tree.value else {
        return vec![expected(tree, "", "a map with `id`, `url` and so on")];
    };
    let mut faults = Vec::new();
    for field in &FIELDS {
        match (find(entries, field.name), field.required) {
            (Some(node), _) => check_field(field, node, &mut faults),
            (None, Some(fix)) => faults.push(fault(None, field.name, "is missing", fix)),
            (None, None) => {}
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn find<'a>(entries: &'a [(String, Node)], name: &str) -> Option<&'a Node> {
    entries.iter().find(|(key, _)| key == name).map(|(_, node)| node)
}

fn check_field(field: &Field, node: &Node, faults: &mut Vec<Fault>) {
    let path = field.name;
    match (field.kind, &node.value) {
        (Kind::Text(check), value) => faults.extend(text_fault(node, path, value, check)),
        (Kind::Url | Kind::Words | Kind::Namespaces, Value::Null) | (Kind::Flag, Value::Bool) => {}
        (Kind::Url, value) => faults.extend(text_fault(node, path, value, check_url)),
        (Kind::Words, Value::List(words)) => {
            for (index, word) in words.iter().enumerate() {
                faults.extend(text_fault(word, &format!("{path}[{index}]"), &word.value, |_| Ok(())));
            }
        }
        (Kind::Namespaces, Value::Map(lists)) => check_namespaces(lists, faults),
        (Kind::Flag, _) => faults.push(expected(node, path, "true or false, without quotes")),
        (Kind::Words, _) => faults.push(expected(node, path, "a list of text")),
        (Kind::Namespaces, _) => faults.push(expected(node, path, "a map with `users`, `aliases` and `rooms`")),
    }
}

/// A number is text without its quotes: Synapse refuses it, others take it, and its digits are kept.
fn text_fault(node: &Node, path: &str, value: &Value, check: impl Fn(&str) -> Result<(), Wrong>) -> Option<Fault> {
    match value {
        Value::Text(text) => check(text).err().map(|(problem, fix)| fault(Some(node), path, problem, fix)),
        Value::Number => None,
        Value::Null | Value::Bool | Value::List(_) | Value::Map(_) => {
            Some(expected(node, path, "text; put it between single quotes"))
        }
    }
}

fn check_namespaces(lists: &[(String, Node)], faults: &mut Vec<Fault>) {
    for kind in NamespaceKind::ALL {
        let path = format!("namespaces.{kind}");
        match find(lists, kind.as_str()).map(|node| (node, &node.value)) {
            None | Some((_, Value::Null)) => {}
            Some((_, Value::List(namespaces))) => {
                for (index, namespace) in namespaces.iter().enumerate() {
                    check_namespace(kind, namespace, &format!("{path}[{index}]"), faults);
                }
            }
            Some((node, _)) => faults.push(expected(node, &path, "a list; start each namespace with `- `")),
        }
    }
}

fn check_namespace(kind: NamespaceKind, namespace: &Node, path: &str, faults: &mut Vec<Fault>) {
    let Value::Map(entries) = &namespace.value else {
        return faults.push(expected(namespace, path, "a map with `exclusive` and `regex`"));
    };
    match find(entries, "exclusive").map(|node| (node, &node.value)) {
        Some((_, Value::Bool)) => {}
        Some((node, _)) => {
            faults.push(expected(node, &format!("{path}.exclusive"), "true or false, without quotes"));
        }
        None => {
            let fix = "Add `exclusive: true` if nobody else may create what matches, else `exclusive: false`.";
            faults.push(fault(Some(namespace), &format!("{path}.exclusive"), "is missing", fix));
        }
    }
    let path = format!("{path}.regex");
    match find(entries, "regex") {
        Some(node) => faults.extend(text_fault(node, &path, &node.value, |regex| check_regex(kind, regex))),
        None => {
            faults.push(fault(Some(namespace), &path, "is missing", "Add `regex: ` and a regular expression."));
        }
    }
}

fn check_id(id: &str) -> Result<(), Wrong> {
    if id.is_empty() { Err(("is empty".to_owned(), "Give it a name that never changes.")) } else { Ok(()) }
}

/// What an HTTP header can carry (RFC 6750, and everything else that is visible).
fn check_token(token: &str) -> Result<(), Wrong> {
    if token.is_empty() {
        Err(("is empty".to_owned(), "Put a long random secret here."))
    } else if token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(("holds a space, a control character or a letter beyond ASCII".to_owned(), "Use letters and digits."))
    }
}

fn check_localpart(localpart: &str) -> Result<(), Wrong> {
    let fix = "Use lower-case letters, digits and ._=/+-, without the leading @ and without the server.";
    if localpart.is_empty() || localpart.contains(':') || localpart.starts_with('@') {
        return Err(("must be the part between @ and : of a user id".to_owned(), fix));
    }
    let user = UserId::parse_with_server_name(localpart, server_name!("example.org"));
    let historical = |user: &ruma::OwnedUserId| user.validate_historical().is_ok();
    if user.is_ok_and(|user| historical(&user)) { Ok(()) } else { Err(("makes no valid user id".to_owned(), fix)) }
}

fn check_url(url: &str) -> Result<(), Wrong> {
    if matches!(url, "" | "null") {
        return Ok(());
    }
    let fix = "Write it like `http://127.0.0.1:9000`, or `url: null` if the homeserver shall send nothing.";
    ServiceUrl::parse(url).map(drop).map_err(|error| (error.to_string(), fix))
}

fn check_regex(kind: NamespaceKind, regex: &str) -> Result<(), Wrong> {
    pattern::check(regex).map_err(|(problem, fix)| (format!("`{}` {problem}", shorten(regex)), fix))?;
    if kind == NamespaceKind::Aliases && regex.starts_with("!") {
        return Err(("starts like a room id".to_owned(), "Move it to `rooms`, or start it with #."));
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    let short: String = text.chars().take(100).filter(|c| !c.is_control()).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn expected(node: &Node, path: &str, wanted: &str) -> Fault {
    let found = node.value.name();
    fault(Some(node), path, format!("is {found}"), format!("It must be {wanted}."))
}

fn fault(node: Option<&Node>, path: &str, problem: impl Into<String>, fix: impl Into<String>) -> Fault {
    let at = node.and_then(|node| node.at);
    Fault { at, path: path.to_owned(), problem: problem.into(), fix: fix.into() }
}
