//! To and from ruma's registration, which knows fewer fields.

use ruma::api::appservice as ruma_type;
use serde_json::Map;

use crate::{Namespace, Namespaces, Registration, ServiceUrl, ServiceUrlError, Token};

/// Loses `push_ephemeral`, `msc3202`, `msc3983`, `msc3984`, `msc4190` and every field without a name.
impl From<Registration> for ruma_type::Registration {
    fn from(registration: Registration) -> Self {
        let receive_ephemeral = registration.wants_ephemeral();
        let mut converted = Self::from(ruma_type::RegistrationInit {
            id: registration.id,
            url: registration.url.map(String::from),
            as_token: registration.as_token.reveal().to_owned(),
            hs_token: registration.hs_token.reveal().to_owned(),
            sender_localpart: registration.sender_localpart,
            namespaces: registration.namespaces.into(),
            rate_limited: registration.rate_limited,
            protocols: Some(registration.protocols).filter(|protocols| !protocols.is_empty()),
        });
        converted.receive_ephemeral = receive_ephemeral;
        converted
    }
}

impl From<Namespaces> for ruma_type::Namespaces {
    fn from(namespaces: Namespaces) -> Self {
        let convert = |list: Vec<Namespace>| list.into_iter().map(Into::into).collect();
        let mut converted = Self::new();
        converted.users = convert(namespaces.users);
        converted.aliases = convert(namespaces.aliases);
        converted.rooms = convert(namespaces.rooms);
        converted
    }
}

impl From<Namespace> for ruma_type::Namespace {
    fn from(namespace: Namespace) -> Self {
        Self::new(namespace.exclusive, namespace.regex)
    }
}

impl TryFrom<ruma_type::Registration> for Registration {
    type Error = ServiceUrlError;

    fn try_from(registration: ruma_type::Registration) -> Result<Self, Self::Error> {
        let url = registration.url.filter(|url| !matches!(url.as_str(), "" | "null"));
        let convert = |list: Vec<ruma_type::Namespace>| {
            list.into_iter().map(|namespace| Namespace::new(namespace.exclusive, namespace.regex)).collect()
        };
        Ok(Self {
            id: registration.id,
            url: url.map(ServiceUrl::parse).transpose()?,
            as_token: Token::from(registration.as_token),
            hs_token: Token::from(registration.hs_token),
            sender_localpart: registration.sender_localpart,
            namespaces: Namespaces {
                users: convert(registration.namespaces.users),
                aliases: convert(registration.namespaces.aliases),
                rooms: convert(registration.namespaces.rooms),
                extra: Map::new(),
            },
            rate_limited: registration.rate_limited,
            protocols: registration.protocols.unwrap_or_default(),
            receive_ephemeral: registration.receive_ephemeral,
            push_ephemeral: false,
            msc3202: false,
            msc3983: false,
            msc3984: false,
            msc4190: false,
            extra: Map::new(),
        })
    }
}
