//! The configuration file.

mod names;

pub use self::names::Names;
