//! Stanza errors ([RFC 6120 §8.3](https://www.rfc-editor.org/rfc/rfc6120#section-8.3)).

use super::{Element, ElementExt as _, ns};

/// Why a stanza was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do about it.
    pub kind: ErrorKind,
    /// What is wrong.
    pub condition: Condition,
    /// In words, where the other side said any.
    pub text: Option<String>,
}

/// What the sender can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Try again with credentials.
    Auth,
    /// Give up.
    Cancel,
    /// It was only a warning.
    Continue,
    /// Change what was sent.
    Modify,
    /// Try again later.
    Wait,
}

macro_rules! conditions {
    ($($name:ident = $text:literal,)*) => {
        /// What is wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "named and explained by the RFC")]
        pub enum Condition { $($name,)* }

        impl Condition {
            /// Its name in the RFC.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// An unknown condition counts as undefined.
            fn read(name: &str) -> Self {
                match name { $($text => Self::$name,)* _ => Self::UndefinedCondition }
            }
        }
    };
}

conditions! {
    BadRequest = "bad-request",
    Conflict = "conflict",
    FeatureNotImplemented = "feature-not-implemented",
    Forbidden = "forbidden",
    Gone = "gone",
    InternalServerError = "internal-server-error",
    ItemNotFound = "item-not-found",
    JidMalformed = "jid-malformed",
    NotAcceptable = "not-acceptable",
    NotAllowed = "not-allowed",
    NotAuthorized = "not-authorized",
    PolicyViolation = "policy-violation",
    RecipientUnavailable = "recipient-unavailable",
    Redirect = "redirect",
    RegistrationRequired = "registration-required",
    RemoteServerNotFound = "remote-server-not-found",
    RemoteServerTimeout = "remote-server-timeout",
    ResourceConstraint = "resource-constraint",
    ServiceUnavailable = "service-unavailable",
    SubscriptionRequired = "subscription-required",
    UndefinedCondition = "undefined-condition",
    UnexpectedRequest = "unexpected-request",
}

impl StanzaError {
    /// Reads the error of a stanza of type `error`, whatever it holds.
    pub fn of(stanza: &Element) -> Self {
        let error = stanza.children().find(|child| child.name() == "error");
        let kind = match error.and_then(|error| error.attr("type")) {
            Some("auth") => ErrorKind::Auth,
            Some("continue") => ErrorKind::Continue,
            Some("modify") => ErrorKind::Modify,
            Some("wait") => ErrorKind::Wait,
            _ => ErrorKind::Cancel,
        };
        let inside = || error.into_iter().flat_map(Element::children).filter(|child| child.has_ns(ns::STANZA_ERROR));
        let condition = inside().find(|child| child.name() != "text");
        let text = inside().find(|child| child.name() == "text").map(Element::text);
        Self {
            kind,
            condition: condition.map_or(Condition::UndefinedCondition, |condition| Condition::read(condition.name())),
            text: text.map(|text| text.chars().take(300).collect()).filter(|text: &String| !text.trim().is_empty()),
        }
    }

    /// The error in answer to an IQ or a message.
    pub fn reply(to: &Element, kind: ErrorKind, condition: Condition) -> Option<Element> {
        let (from, to_whom) = (to.attr("to")?, to.attr("from")?);
        let kind = match kind {
            ErrorKind::Auth => "auth",
            ErrorKind::Cancel => "cancel",
            ErrorKind::Continue => "continue",
            ErrorKind::Modify => "modify",
            ErrorKind::Wait => "wait",
        };
        let error = Element::bare("error", ns::COMPONENT).with("type", kind);
        let name = if to.name() == "message" { "message" } else { "iq" };
        let reply = Element::stanza(name, from, to_whom, "error").with_some("id", to.attr("id"));
        Some(reply.child(error.child(Element::bare(condition.name(), ns::STANZA_ERROR))))
    }

    /// Whether it may go away by itself.
    pub fn is_temporary(&self) -> bool {
        self.kind == ErrorKind::Wait
            || matches!(
                self.condition,
                Condition::RemoteServerTimeout | Condition::ResourceConstraint | Condition::InternalServerError
            )
    }
}

impl std::fmt::Display for StanzaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{text} ({})", self.condition.name()),
            None => f.write_str(self.condition.name()),
        }
    }
}
