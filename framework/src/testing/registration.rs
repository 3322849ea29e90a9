//! A registration and names that fit together.

use landbridge_registration::{Namespace, Registration};
use ruma::ServerName;

use crate::bridge::Names;

/// The registration of a bridge to the network `id` on `server_name`: bot `@{id}bot`, virtual users `@{id}_…`, portals `#{id}_…`.
///
/// # Panics
/// When `server_name` is no server name.
#[expect(clippy::expect_used, reason = "this is how a test fails")]
pub fn registration(id: &str, server_name: &str) -> Registration {
    let server = ServerName::parse(server_name).expect("a valid server name");
    let prefix = format!("{id}_");
    let mut registration = landbridge_registration::Builder::new(id, format!("{id}bot"))
        .user_namespace(Namespace::users_with_prefix(&prefix, &server))
        .alias_namespace(Namespace::aliases_with_prefix(&prefix, &server))
        .build()
        .expect("a valid registration");
    registration.receive_ephemeral = true;
    registration
}

/// The names that go with [`registration`].
///
/// # Panics
/// When `server_name` is no server name.
#[expect(clippy::expect_used, reason = "this is how a test fails")]
pub fn names(id: &str, server_name: &str) -> Names {
    let server_name = ServerName::parse(server_name).expect("a valid server name");
    Names {
        user_prefix: format!("{id}_"),
        alias_prefix: format!("{id}_"),
        bot: ruma::UserId::parse(format!("@{id}bot:{server_name}")).expect("a valid user id"),
        server_name,
    }
}
