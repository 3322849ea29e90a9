//! The real servers that scenarios run against.

mod atheme;
mod certificates;
mod ejabberd;
mod hostile;
mod inspircd;
mod ircd;
mod ngircd;
mod postgres;
mod prosody;
mod synapse;
mod xmppd;

pub use atheme::Atheme;
pub use certificates::Certificates;
pub use ejabberd::Ejabberd;
pub use hostile::HostileIrcd;
pub use inspircd::Inspircd;
pub use ircd::Ircd;
pub use ngircd::Ngircd;
pub use postgres::Postgres;
pub use prosody::Prosody;
pub use synapse::Synapse;
pub use xmppd::Xmppd;
