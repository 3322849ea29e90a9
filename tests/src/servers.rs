//! The real servers that scenarios run against.

mod atheme;
mod certificates;
mod hostile;
mod inspircd;
mod ngircd;
mod postgres;
mod synapse;

pub use atheme::Atheme;
pub use certificates::Certificates;
pub use hostile::HostileIrcd;
pub use inspircd::Inspircd;
pub use ngircd::Ngircd;
pub use postgres::Postgres;
pub use synapse::Synapse;
