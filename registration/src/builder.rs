//! New registrations.

use crate::{Faults, Namespace, Namespaces, Registration, ServiceUrl, Token, TokenError};

/// Makes a registration with fresh tokens, not rate limited, that receives ephemeral events under either name.
#[derive(Clone, Debug)]
pub struct Builder {
    id: String,
    sender_localpart: String,
    url: Option<String>,
    namespaces: Namespaces,
    protocols: Vec<String>,
    rate_limited: bool,
    ephemeral: bool,
    encryption: bool,
    tokens: Option<(Token, Token)>,
}

impl Builder {
    /// A registration with a unique, lasting `id` and the localpart of its own user.
    pub fn new(id: impl Into<String>, sender_localpart: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            sender_localpart: sender_localpart.into(),
            url: None,
            namespaces: Namespaces::default(),
            protocols: Vec::new(),
            rate_limited: false,
            ephemeral: true,
            encryption: false,
            tokens: None,
        }
    }

    /// Where the homeserver reaches the application service. Without it, it sends nothing.
    #[must_use]
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = Some(url.into());
        self
    }

    /// Adds users.
    #[must_use]
    pub fn user_namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.users.push(namespace);
        self
    }

    /// Adds aliases.
    #[must_use]
    pub fn alias_namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.aliases.push(namespace);
        self
    }

    /// Adds rooms.
    #[must_use]
    pub fn room_namespace(mut self, namespace: Namespace) -> Self {
        self.namespaces.rooms.push(namespace);
        self
    }

    /// Adds a third-party network that is served.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Whether requests of virtual users are rate limited; a bridge of any size wants that off, as it is.
    #[must_use]
    pub fn rate_limited(mut self, limited: bool) -> Self {
        self.rate_limited = limited;
        self
    }

    /// Whether typing, receipts and presence are received; they are, unless switched off.
    #[must_use]
    pub fn ephemeral(mut self, received: bool) -> Self {
        self.ephemeral = received;
        self
    }

    /// Whether to ask for what encryption in bridges needs (MSC3202, MSC4190).
    #[must_use]
    pub fn encryption(mut self, wanted: bool) -> Self {
        self.encryption = wanted;
        self
    }

    /// Uses these tokens in place of fresh ones.
    #[must_use]
    pub fn tokens(mut self, as_token: Token, hs_token: Token) -> Self {
        self.tokens = Some((as_token, hs_token));
        self
    }

    /// Makes the registration.
    ///
    /// # Errors
    /// If the system has no randomness, or what was given makes no valid registration.
    pub fn build(self) -> Result<Registration, BuildError> {
        let (as_token, hs_token) = match self.tokens {
            Some(tokens) => tokens,
            None => (Token::generate()?, Token::generate()?),
        };
        let url = self.url.map(ServiceUrl::parse).transpose().map_err(|error| bad_url(&error))?;
        let registration = Registration {
            id: self.id,
            url,
            as_token,
            hs_token,
            sender_localpart: self.sender_localpart,
            namespaces: self.namespaces,
            rate_limited: Some(self.rate_limited),
            protocols: self.protocols,
            receive_ephemeral: self.ephemeral,
            push_ephemeral: self.ephemeral,
            msc3202: self.encryption,
            msc3983: false,
            msc3984: false,
            msc4190: self.encryption,
            extra: serde_json::Map::new(),
        };
        registration.validate()?;
        Ok(registration)
    }
}

fn bad_url(error: &crate::ServiceUrlError) -> BuildError {
    BuildError::Faults(Faults(vec![crate::Fault {
        at: None,
        path: "url".to_owned(),
        problem: error.to_string(),
        fix: "Write it like `http://127.0.0.1:9000`.".to_owned(),
    }]))
}

/// Why no registration could be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No randomness for the tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What was given makes no valid registration.
    #[error(transparent)]
    Faults(#[from] Faults),
}
