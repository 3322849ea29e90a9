//! In construction.

pub mod rich_text;
